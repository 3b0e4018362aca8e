#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# observe.sh [--short] [BUILD] - shows what Aether says about programs that misbehave, and checks that it is true.
#
# A publisher sends 100,000 messages a second to three subscribers: one begins to sleep 5 ms after every 1,000 messages,
# one is stopped for two seconds, one is best effort. aetherd is killed meanwhile. aether-cli and aether-metrics must
# name both culprits, the histograms must agree with what the subscribers have measured, and all accounts must add up.
#
# --short leaves out the live figures, says less, and gives each 20 s to name a culprit. BUILD is the Meson build
# directory; default: build. Ends by itself, needs neither terminal nor stdin. The last line is the verdict; the exit status is 0 if all is as it should be, 1 if not.
set -u
export LC_ALL=C

short=''
[ "${1-}" = --short ] && {
    short=1
    shift
}
build=$(cd "${1-build}" 2>/dev/null && pwd) || {
    echo "observe.sh: there is no directory '${1-build}': run make build first" >&2
    exit 2
}
aetherd=$build/cmd/aetherd
cli=$build/cmd/aether-cli
exporter=$build/cmd/aether-metrics
observe=$build/demo/observe

rate=100000   # messages a second
load=$(cut -d. -f1 /proc/loadavg) # of other work
patience=5000 # times 20 ms, for what takes no time on a quiet machine
scratch=''
daemon=''
port=''
declare -A pid=()

# ---- beginning and end -----------------------------------------------------------------------------------------------

end() {
    [ -n "$1" ] || return 0
    kill "-$2" "$1" 2>/dev/null
    kill -CONT "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

cleanup() {
    local name
    for name in "${!pid[@]}"; do end "${pid[$name]}" KILL; done
    # What a killed daemon leaves is adopted by its successor, whose clean stop ends topics that nobody is attached to.
    [ -n "$daemon" ] || [ -z "$scratch" ] || start_daemon
    end "$daemon" TERM
    [ -z "$scratch" ] || rm -rf "$scratch"
}

fail() {
    local file
    for file in "$scratch"/*.log; do
        [ ! -s "$file" ] || {
            printf '\nThe last lines of %s:\n' "${file##*/}"
            tail -n 5 "$file"
        }
    done
    printf '\n%s: %s\n' "$([ -n "$short" ] && echo NOT AS IT SHOULD BE || echo DEMO FAILED)" "$1"
    exit 1
}

trap cleanup EXIT
trap 'fail interrupted' INT TERM HUP

headline() { printf '\n-- %s\n' "$1"; }

# Waits until the command succeeds.
wait_until() {
    local i
    for ((i = 0; i < patience; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.02
    done
    return 1
}

start_daemon() {
    "$aetherd" --socket "$AETHER_SOCKET" </dev/null >>"$scratch/aetherd.log" 2>&1 &
    daemon=$!
    wait_until "$cli" topic create observe/other
}

kill_daemon() {
    end "$daemon" KILL
    daemon=''
}

# start NAME COMMAND...: its output goes to NAME.log.
start() {
    local name=$1
    shift
    "$@" </dev/null >"$scratch/$name.log" 2>&1 &
    pid[$name]=$!
}

# finish NAME WHAT: it must end well.
finish() {
    local status
    wait "${pid[$1]}"
    status=$?
    unset "pid[$1]"
    [ $status = 0 ] || fail "$2"
}

# ---- what names a culprit --------------------------------------------------------------------------------------------

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# get PATH: a page of aether-metrics, in HTTP/1.0, so that nothing else has to be installed.
get() {
    exec 5<>"/dev/tcp/127.0.0.1/$port" || return
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&5
    cat <&5
    exec 5>&-
}

says_lag() { "$cli" lag | grep -q "publisher feed (pid [0-9]*) has waited .* for subscriber $1 (pid ${pid[$1]})$2"; }
# From its second reading on, top calls a publisher throttled that waits for a moment again and again.
says_top() { "$cli" top --batch 1 | grep -q "publisher feed (pid [0-9]*) has .* subscriber $1 (pid ${pid[$1]})$2"; }
says_metrics() { get /metrics | grep -q "^aether_subscriber_holds_up{.*client=\"$1\".*} [1-9]"; }

# times SINCE FUNCTION NAME WORDS: repeats the function until it names the culprit; prints the milliseconds since SINCE.
times() {
    local since=$1
    shift
    wait_until "$@" && echo $(($(now_ms) - since))
}

# How long a command takes while all is well: what a busy machine adds to everything.
measure_machine() {
    local start
    start=$(now_ms)
    "$cli" lag >/dev/null || fail "aether-cli lag"
    "$cli" lag >/dev/null
    "$cli" lag >/dev/null
    own_ms=$((($(now_ms) - start) / 3))
    limit_ms=1000
    if [ -n "$short" ]; then
        limit_ms=20000 # a part of another demo or of a test, beside which something else may begin at any time
    elif [ $own_ms -gt 20 ] || [ "$load" -ge "$(nproc)" ]; then
        limit_ms=20000
        echo "This machine is busy (aether-cli lag takes $own_ms ms, the load was $load before): each has $((limit_ms / 1000)) s to name a culprit, not 1 s"
    fi
}

# named NAME STATE WORDS SINCE: all that names a culprit must name this one. All start at once.
named() {
    local name=$1 state=$2 words=$3 since=$4 tool took
    for tool in "${tools[@]}"; do
        times "$since" "says_$tool" "$name" "$words" >"$scratch/took.$tool" &
        pid[$tool]=$!
    done
    took=$("$observe" await "$name" "$state") || fail "the shared figures don't say that feed waits for $name"
    printf '%-34s %6d ms after it began\n' 'the shared figures' $((took / 1000000 - since))
    for tool in "${tools[@]}"; do
        finish "$tool" "$tool doesn't name $name"
        took=$(cat "$scratch/took.$tool")
        printf '%-34s %6d ms\n' "${shown[$tool]}" "$took"
        [ "$took" -le "$limit_ms" ] || fail "${shown[$tool]} took longer than $limit_ms ms to name $name"
    done
}

# ---- the demo --------------------------------------------------------------------------------------------------------

for program in "$aetherd" "$cli" "$observe"; do
    [ -x "$program" ] || fail "$program isn't there: run make build first"
done
scratch=$(mktemp -d) || fail "mktemp -d"
export AETHER_SOCKET=$scratch/aetherd.sock
declare -A shown=([lag]='aether-cli lag' [top]='aether-cli top --batch 1' [metrics]='aether-metrics /metrics')
tools=(lag top)
start_daemon || fail "aetherd doesn't answer"
if [ -x "$exporter" ]; then
    # Each request reads anew: otherwise those of a quarter of a second get the same answer.
    printf '[metrics]\nlisten = 127.0.0.1:0\nclients = on\ninterval = 0\n' >"$scratch/metrics.conf"
    start exporter "$exporter" --config "$scratch/metrics.conf"
    listens() { port=$(sed -n 's/.*listening at http:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$scratch/exporter.log") && [ -n "$port" ]; }
    wait_until listens || fail "aether-metrics doesn't listen"
    tools+=(metrics)
else
    echo "aether-metrics isn't built (libmicrohttpd-dev is missing): the demo goes without it"
fi

headline "$rate messages a second to two reliable subscribers, naps and stops, and a best-effort one"
start naps "$observe" subscribe naps reliable observe/every
start stops "$observe" subscribe stops reliable observe/every
start any "$observe" subscribe any best-effort observe/every
start sampled "$observe" subscribe sampled reliable observe/sampled
# They come before the publisher, so the topics are listed as those that subscribers wait for.
joined() {
    local waiting
    waiting=$("$cli" topic ls --waiting --json)
    [[ $waiting == *'"topic":"observe/every"'*'"subscribers":3,'* && $waiting == *'"topic":"observe/sampled"'*'"subscribers":1,'* ]]
}
wait_until joined || fail "the subscribers don't join"
start feed "$observe" publish "$rate"
if [ -n "$short" ]; then
    start watch "$observe" watch
else
    "$observe" watch </dev/null &
    pid[watch]=$!
fi
flows() { "$cli" topic info observe/every --json | grep -Eq '"messages":[1-9][0-9]{4}'; }
wait_until flows || fail "feed doesn't publish"
measure_machine

headline "naps begins to sleep 5 ms after every 1,000 messages. Who names it?"
since=$(now_ms)
kill -USR1 "${pid[naps]}"
named naps any '' "$since"

headline "aetherd is killed: kill -9 $daemon. Nothing of this needs it"
kill_daemon
sleep 1

headline "stops is stopped for 2 s: kill -STOP ${pid[stops]}. Who names it?"
since=$(now_ms)
kill -STOP "${pid[stops]}"
named stops stopped ', which is stopped' "$since"
[ -n "$short" ] || "$cli" lag
left_ms=$((2000 - $(now_ms) + since))
[ $left_ms -le 0 ] || sleep "$((left_ms / 1000)).$(printf %03d $((left_ms % 1000)))"
kill -CONT "${pid[stops]}"
sleep 1
start_daemon || fail "the new aetherd doesn't answer"

headline "The end: what the subscribers have measured themselves, and what the figures say"
kill "${pid[feed]}"
finish feed "the publisher failed"
for name in naps stops any sampled; do
    wait "${pid[$name]}"
    status=$?
    unset "pid[$name]"
    cat "$scratch/$name.log"
    [ $status = 0 ] || fail "the figures of $name aren't what it has measured"
done
kill "${pid[watch]}"
finish watch "an account of a subscriber didn't add up"
[ -z "$short" ] || sed -n '/passes over/p; /^feed waited/p' "$scratch/watch.log"
[ -z "$port" ] || end "${pid[exporter]}" TERM
unset 'pid[exporter]'
kill "$daemon"
wait "$daemon" || fail "aetherd ended with status $?"
daemon=''
rm -rf "$scratch"
scratch=''
[ -n "$short" ] || printf '\nDEMO PASSED: '
echo 'both culprits were named, histograms are within 1/32, and each account added up at each moment'
