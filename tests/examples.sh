#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every example runs to its end and prints what examples/README.md says.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

: "${EXAMPLES:?directory of the built examples}"

# ended_well NAME: status 0 and nothing on stderr.
ended_well() {
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && return
    echo "# $1: status $status"
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}

# prints TEXT PROGRAM ARGUMENT...: ends well, and TEXT is its whole output.
prints() {
    local want=$1 program=$2
    shift 2
    run "$EXAMPLES/$program" "$@"
    ended_well "$program" && diff <(printf '%s\n' "$want") "$tmp/out" | sed 's/^/# /' && return "${PIPESTATUS[0]}"
}
# begins TEXT PROGRAM: ends with 0, and the first line of its output contains TEXT.
begins() {
    run "$EXAMPLES/$2"
    [ "$status" -eq 0 ] && head -n 1 "$tmp/out" | grep -qF -- "$1"
}
quiet() {
    run "$EXAMPLES/$1" "$2"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && [ ! -s "$tmp/out" ]
}
# fails STATUS WORDS PROGRAM ARGUMENT...: ends with STATUS and one line on stderr, which contains WORDS.
fails() {
    local want=$1 words=$2
    shift 2
    run "$EXAMPLES/$1" "${@:2}"
    [ "$status" -eq "$want" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -qF -- "$words" "$tmp/err" && return
    echo "# $1: status $status, wanted $want and one line with '$words':"
    sed 's/^/# /' "$tmp/err"
    return 1
}

# ---- two processes ----

# begin TOPIC PROGRAM ARGUMENT...: makes the topic anew, starts a subscriber of it, and waits until it is attached.
begin() {
    local topic=$1 program=$2
    shift 2
    "$AETHER_CLI" topic rm "$topic" >/dev/null 2>&1
    "$AETHER_CLI" topic create "$topic" || return 1
    "$EXAMPLES/$program" "$@" >"$tmp/sub.out" 2>"$tmp/sub.err" </dev/null &
    subscriber=$!
    started+=("$subscriber")
    until_peers "$topic" reliable 1
}

has_ended() { ! kill -0 "$subscriber" 2>/dev/null; }

# Waits until the subscriber ends. Leaves its output in $tmp/out and $tmp/err, and its status in $status.
end() {
    until_true has_ended || { echo "# it doesn't end"; return 1; }
    wait "$subscriber"
    status=$?
    mv "$tmp/sub.out" "$tmp/out"
    mv "$tmp/sub.err" "$tmp/err"
}

greetings() {
    local i
    for ((i = 0; i < $1; i++)); do
        echo "$i hello $i"
    done
    echo "$1 greetings"
}

# reads_to_the_end PROGRAM COUNT: the subscriber is there before the publisher.
reads_to_the_end() {
    begin greetings "$1" || return 1
    quiet hello_pub "$2" && end && ended_well "$1" && diff <(greetings "$2") "$tmp/out" >"$tmp/diff" && return
    head -n 5 "$tmp/diff" | sed 's/^/# /'
    return 1
}
# The publisher has closed before: the subscriber gets all its messages and the end of the stream.
reads_what_is_there() { prints "$(greetings "$2")" "$1"; }

stops_on_signal() {
    begin greetings epoll || return 1
    kill -TERM "$subscriber"
    end && ended_well epoll && [ "$(cat "$tmp/out")" = "0 greetings" ]
}

# The subscriber gets all that was published, and ends when aetherd has proof of the publisher's death.
sees_a_death() {
    local publisher
    begin greetings epoll || return 1
    mkfifo "$tmp/lines"
    "$AETHER_CLI" pub greetings <"$tmp/lines" >/dev/null 2>&1 &
    publisher=$!
    started+=("$publisher")
    disown "$publisher" # so that the shell doesn't report that it was killed
    exec 9>"$tmp/lines"
    printf 'one\ntwo\n' >&9
    until_true topic_has greetings messages 2 && kill -9 "$publisher" && end && ended_well epoll &&
        [ "$(cat "$tmp/out")" = $'0 one\n1 two\n2 greetings' ]
    local rc=$?
    exec 9>&-
    return "$rc"
}

gives_up() {
    "$AETHER_CLI" topic rm greetings >/dev/null 2>&1
    fails 1 "uv: nothing has come for 1 s" uv 1
}

waits_and_ends() {
    begin examples/readings wait sub || return 1
    quiet_pair wait 3 && end && ended_well "wait sub" &&
        diff - "$tmp/out" <<'TEXT' | sed 's/^/# /' && return "${PIPESTATUS[0]}"
reading 0: 20.0 degrees
reading 1: 20.1 degrees
reading 2: 20.2 degrees
end: the publisher has closed
TEXT
}
# quiet_pair PROGRAM COUNT: the subscriber gets what "PROGRAM pub COUNT" publishes.
quiet_pair() {
    run "$EXAMPLES/$1" pub "$2"
    ended_well "$1 pub" && [ ! -s "$tmp/out" ]
}

has_lines() { [ "$(wc -l <"$tmp/sub.out")" -ge "$1" ]; }

# It finds what is there, and sleeps until it is woken for what comes and goes.
discovers() {
    "$AETHER_CLI" topic create found/a >/dev/null && "$AETHER_CLI" topic create lost/a >/dev/null || return 1
    "$EXAMPLES/discover" 5 found/ >"$tmp/sub.out" 2>"$tmp/sub.err" </dev/null &
    subscriber=$!
    started+=("$subscriber")
    until_true grep -qx '+ found/a' "$tmp/sub.out" && "$AETHER_CLI" topic create found/b >/dev/null &&
        until_true grep -qx '+ found/b' "$tmp/sub.out" && "$AETHER_CLI" topic rm found/a >/dev/null &&
        until_true grep -qx -e '- found/a' "$tmp/sub.out" && "$AETHER_CLI" topic create found/a >/dev/null &&
        until_true has_lines 4 && "$AETHER_CLI" topic rm found/b >/dev/null &&
        end && ended_well discover &&
        [ "$(cat "$tmp/out")" = $'+ found/a\n+ found/b\n- found/a\n+ found/a\n- found/b' ] && return
    echo "# discover printed:"
    sed 's/^/# /' "$tmp/out"
    return 1
}

refuses_other_type() {
    "$AETHER_CLI" topic rm examples/readings >/dev/null
    "$AETHER_CLI" topic create examples/readings --max-message 16 --type examples.reading:2:16 >/dev/null || return 1
    fails 1 "version 1" wait pub && fails 1 "version 2" wait sub
}

# Exactly the published frames arrive, with right checksums, but not the frames that were discarded.
loans_frames() {
    begin examples/frames loan sub || return 1
    run "$EXAMPLES/loan" pub 20
    ended_well "loan pub" && [ "$(grep -c '^no frame' "$tmp/out")" -eq 4 ] || return 1
    grep '^frame' "$tmp/out" >"$tmp/published"
    end && ended_well "loan sub" && [ "$(wc -l <"$tmp/out")" -eq 16 ] && cmp "$tmp/published" "$tmp/out"
}

# The subscriber comes first, before the daemon, and waits for the topic.
quotes_from_the_start() {
    "$EXAMPLES/quotes" sub 2 >"$tmp/sub.out" 2>"$tmp/sub.err" </dev/null &
    subscriber=$!
    started+=("$subscriber")
    start_daemon && until_true has_joined "$subscriber" && quiet_pair quotes 2 && end && ended_well "quotes sub" &&
        diff - "$tmp/out" <<'TEXT' | sed 's/^/# /' && return "${PIPESTATUS[0]}"
quote 0: 100 at 108000, 200 at 108002
quote 1: 100 at 108001, 200 at 108003
TEXT
}

ok "hello_pub without a daemon" fails 1 "hello_pub: " hello_pub 1
ok "quotes, started before the daemon" quotes_from_the_start
[ -n "$daemon" ] || start_daemon || exit 1
ok "hello_pub" quiet hello_pub 5
ok "hello_sub" prints $'0 hello 0\n1 hello 1\n2 hello 2\n3 hello 3\n4 hello 4' hello_sub 5
ok "epoll, what is there already" reads_what_is_there epoll 5
ok "epoll, another process publishes" reads_to_the_end epoll 3000
ok "epoll, a signal" stops_on_signal
ok "epoll, the publisher is killed" sees_a_death
if [ -x "$EXAMPLES/uv" ]; then
    ok "uv, another process publishes" reads_to_the_end uv 3000
    ok "uv, the timer" gives_up
else
    ok "uv # SKIP it isn't built: no libuv" true
fi
ok "wait, with a type" waits_and_ends
ok "wait, another type" refuses_other_type
ok "loan" loans_frames
ok "pipeline" prints "1000 frames by 3 workers without a copy, the bytes add up to 500500" pipeline 1000
ok "latest" prints "nothing new
sequence 0: price 100, 0 skipped
sequence 4: price 104, 3 skipped
sequence 13: price 113, 8 skipped
sequence 29: price 129, 15 skipped
4 messages + 26 skipped + 0 lost + 0 aborted = 30 sequences" latest 5
ok "batch" prints "1000 messages, sum 499500" batch 1000
ok "poll, overrun" prints $'gap: 168 lost from sequence 0\n32 messages + 168 lost + 0 aborted = 200 sequences' poll 200
ok "poll" prints "40 messages + 0 lost + 0 aborted = 40 sequences" poll 40
if [ -x "$EXAMPLES/cpp_hello" ]; then
    ok "cpp_hello" prints $'hello from C++ 0\nhello from C++ 1' cpp_hello 2
fi
one_of_each() {
    "$AETHER_CLI" pub many/a one >/dev/null && "$AETHER_CLI" pub many/b two >/dev/null &&
        "$AETHER_CLI" pub many/c three >/dev/null && run "$EXAMPLES/waitset" 3 many/a many/b many/c && ended_well waitset &&
        diff <(printf 'many/a: one\nmany/b: two\nmany/c: three\n') <(sort "$tmp/out")
}
# It joins first, on topics that were removed before; then a message is published to the last of them.
wakes_for_the_last() {
    "$AETHER_CLI" topic rm many/a && "$AETHER_CLI" topic rm many/b && begin many/c waitset 1 many/a many/b many/c &&
        "$AETHER_CLI" pub many/c four >/dev/null && end && ended_well waitset && [ "$(cat "$tmp/out")" = "many/c: four" ]
}
ok "waitset, what is there already" one_of_each
ok "waitset, a publish wakes it" wakes_for_the_last
ok "discover" discovers
ok "inspect" begins "aetherd: running, " inspect
finish
