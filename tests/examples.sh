#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every example runs to its end and prints what examples/README.md says.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

: "${EXAMPLES:?directory of the built examples}"

# prints TEXT PROGRAM ARGUMENT...
prints() {
    local want=$1 program=$2
    shift 2
    run "$EXAMPLES/$program" "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && diff <(printf '%s\n' "$want") "$tmp/out" && return
    echo "# $program: status $status"
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}
# begins TEXT PROGRAM
begins() {
    run "$EXAMPLES/$2"
    [ "$status" -eq 0 ] && head -n 1 "$tmp/out" | grep -qF -- "$1"
}
quiet() {
    run "$EXAMPLES/$1" "$2"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && [ ! -s "$tmp/out" ]
}
without_daemon() {
    run "$EXAMPLES/$1" 1
    [ "$status" -eq 1 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ]
}

ok "hello_pub without a daemon" without_daemon hello_pub
start_daemon || exit 1
ok "hello_pub" quiet hello_pub 5
ok "hello_sub" prints $'0 hello 0\n1 hello 1\n2 hello 2\n3 hello 3\n4 hello 4' hello_sub 5
ok "batch" prints "1000 messages, sum 499500" batch 1000
ok "poll, overrun" prints $'gap: 168 lost from sequence 0\n32 messages + 168 lost + 0 aborted = 200 sequences' poll 200
ok "poll" prints "40 messages + 0 lost + 0 aborted = 40 sequences" poll 40
if [ -x "$EXAMPLES/cpp_hello" ]; then
    ok "cpp_hello" prints $'hello from C++ 0\nhello from C++ 1' cpp_hello 2
fi
ok "inspect" begins "aetherd: running, 1 topic" inspect
finish
