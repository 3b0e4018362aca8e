# SPDX-License-Identifier: Apache-2.0
# cli.inc.sh - for the tests of aether-cli: TAP, a private daemon, and the processes that a test starts.
# shellcheck shell=bash

: "${AETHERD:?the daemon under test}" "${AETHER_CLI:?the program under test}"

tmp=$(mktemp -d)
export AETHER_SOCKET=$tmp/s/aetherd.sock
mkdir -m 700 "$tmp/s"
daemon=
started=()
cases=0
failures=0

cleanup() {
    local pid
    for pid in "${started[@]}" $daemon; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    # A daemon that stops cleanly while no client is attached removes what dead processes have left.
    if [ -n "$daemon" ] && start_daemon; then
        kill "$daemon"
        wait "$daemon" 2>/dev/null
    fi
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# A program that doesn't end by itself in so many seconds hangs, however much it has to do and however busy the machine is.
hang=900

# until_true COMMAND...: repeats the command until it succeeds. After 120 s and 20 times it fails: something hangs.
until_true() {
    local deadline=$((SECONDS + 120)) times=0
    until "$@" >/dev/null 2>&1; do
        times=$((times + 1))
        [ $SECONDS -lt $deadline ] || [ $times -lt 20 ] || return 1
        sleep 0.02
    done
}

daemon_answers() { "$AETHER_CLI" stats --json | grep -q '"running":true'; }

start_daemon() {
    # Without 8 and 9, which may be pipes of the test: the daemon would keep them open.
    "$AETHERD" --socket "$AETHER_SOCKET" 2>>"$tmp/daemon.log" 8>&- 9>&- &
    daemon=$!
    until_true daemon_answers || { echo "# the daemon doesn't start: $(tail -n 1 "$tmp/daemon.log")"; return 1; }
}

# has_joined PID: a subscriber has mapped its topic, or its words if it waits for a publisher, and sleeps because nothing
# has come since.
has_joined() { grep -q '/aether-.*[.]log-' "/proc/$1/maps" && [ "$(sed 's/.*) //; s/ .*//' "/proc/$1/stat")" = S ]; }

# ok NAME COMMAND...: one case, which passes if the command succeeds.
ok() {
    local name=$1
    shift
    cases=$((cases + 1))
    if "$@"; then
        echo "ok $cases - $name"
    else
        echo "not ok $cases - $name"
        failures=$((failures + 1))
    fi
}

# run COMMAND...: leaves its output in $tmp/out and $tmp/err, and its status in $status (124: it hung).
run() {
    timeout "$hang" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

# failed_with STATUS WORDS: the last run ended with that status and one line of error, which contains WORDS.
failed_with() {
    local want=$1 words=$2
    [ "$status" -eq "$want" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q '^aether-cli: ' "$tmp/err" &&
        grep -qF -- "$words" "$tmp/err" && return
    echo "# status $status, wanted $want and one line with '$words':"
    sed 's/^/# /' "$tmp/err"
    return 1
}

# refuses STATUS WORDS ARGUMENT...: aether-cli fails with STATUS and WORDS, and prints nothing on stdout.
refuses() {
    local want=$1 words=$2
    shift 2
    run "$AETHER_CLI" "$@"
    failed_with "$want" "$words" && [ ! -s "$tmp/out" ]
}

# topic_value TOPIC KEY: prints a value of topic info's JSON. topic_has TOPIC KEY VALUE: compares it.
topic_value() { "$AETHER_CLI" topic info --json "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
topic_has() { [ "$(topic_value "$1" "$2" 2>/dev/null)" = "$3" ]; }

# until_peers TOPIC KIND COUNT: waits until the topic has COUNT peers of KIND: reliable, best-effort or publishers.
peers_are() {
    "$AETHER_CLI" topic info --json "$1" 2>/dev/null | python3 -c 'import json,sys; t = json.load(sys.stdin)
sys.exit((len(t["publishers"]) if sys.argv[1] == "publishers" else t["subscribers_by"][sys.argv[1]]) != int(sys.argv[2]))' "$2" "$3"
}
until_peers() { until_true peers_are "$1" "$2" "$3"; }

# subscribe FILE TOPIC OPTION...: starts a subscriber that writes to FILE and waits until it has joined. It is reliable,
# unless an option says otherwise. Its pid is in $sub.
subscribe() {
    local file=$1 topic=$2
    shift 2
    case "$*" in
    *--policy*) ;;
    *) set -- --policy reliable "$@" ;;
    esac
    "$AETHER_CLI" sub "$topic" "$@" >"$file" 2>"$file.err" &
    sub=$!
    started+=("$sub")
    until_true has_joined "$sub" # a topic that no publisher has opened yet isn't among the topics
}

# ends_with PID STATUS: waits for the process, which must end with that status.
ends_with() { wait "$1"; [ $? -eq "$2" ]; }

# As run, with the caller's stdin and without a time limit.
run_pub() {
    "$AETHER_CLI" pub "$@" >"$tmp/out" 2>"$tmp/err"
    status=$?
}

# json_rows FILE EXPRESSION: every line of the file is a JSON object, and the python expression on `rows` is true.
json_rows() {
    python3 - "$1" "$2" <<'PYTHON'
import json, sys
with open(sys.argv[1], encoding="utf-8") as f:
    rows = [json.loads(line) for line in f]
if not all(isinstance(row, dict) for row in rows) or not eval(f"({sys.argv[2]})"):
    print("#", sys.argv[2], "doesn't hold for", rows[:20])
    sys.exit(1)
PYTHON
}

finish() {
    echo "1..$cases"
    exit $((failures > 0))
}
