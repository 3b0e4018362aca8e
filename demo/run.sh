#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [--short] [BUILD] - shows Aether at work: an aetherd of its own, a publisher, five subscribers, real records, every byte
# compared.
#
# --short downloads nothing and leaves out the benchmarks; a test uses it. BUILD is the Meson build directory; default:
# build. Ends by itself, needs neither terminal nor stdin, and leaves
# nothing behind but the records in BUILD/demo-data. The last line is the verdict; the exit status is 0 if it passed,
# 1 if not.
set -u
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd) || exit
short=''
[ "${1-}" = --short ] && {
    short=1
    shift
}
build=$(cd "${1-build}" 2>/dev/null && pwd) || {
    echo "run.sh: there is no directory '${1-build}': run make build first" >&2
    exit 2
}
aetherd=$build/cmd/aetherd
cli=$build/cmd/aether-cli
flights=$build/demo/flights
data=$build/demo-data

config=(--max-message 248 --preset throughput)
patience=1200 # tenths of a second, for what takes no time on a quiet machine
hang=900      # seconds, for a command that has to end by itself: more can only be a hang
scratch=''
daemon=''
killed='' # set while the daemon is dead on purpose
helper=''

# ---- beginning and end -----------------------------------------------------------------------------------------------

end() {
    [ -n "$1" ] || return 0
    kill "-$2" "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

cleanup() {
    end "$helper" TERM
    # What a killed daemon leaves is adopted by its successor, whose clean stop ends topics that nobody is attached to.
    if [ -n "$killed" ]; then start_daemon; fi
    end "$daemon" TERM
    [ -z "$scratch" ] || rm -rf "$scratch"
}

fail() {
    if [ -s "$scratch/aetherd.log" ]; then
        printf '\nThe last lines of the log of aetherd:\n'
        tail -n 10 "$scratch/aetherd.log"
    fi
    printf '\nDEMO FAILED: %s\n' "$1"
    exit 1
}

exec 3</dev/null 4>/dev/null # the events of flights and the answers to them, while it runs
trap cleanup EXIT
trap 'fail interrupted' INT TERM HUP
trap : PIPE # a write to flights that has ended fails like any other

step=0
headline() {
    step=$((step + 1))
    printf '\n== %d. %s\n' $step "$1"
}

grouped() { sed -E ':a; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; ta' <<<"$1"; }

# Waits until the command succeeds.
wait_until() {
    local i
    for ((i = 0; i < patience; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

# Creating a topic that exists with the same configuration does nothing, so this also asks whether a daemon answers.
create_topic() { "$cli" topic create "$1" "${config[@]}"; }

start_daemon() {
    "$aetherd" --socket "$AETHER_SOCKET" </dev/null >>"$scratch/aetherd.log" 2>&1 3<&- 4>&- &
    daemon=$!
    killed=''
    wait_until create_topic flights/nyc
}

# ---- the parts -------------------------------------------------------------------------------------------------------

# Numbered lines in place of the data set.
make_records() {
    data=$scratch/data
    mkdir "$data" && awk 'BEGIN { for (i = 1; i <= 20000; i++) printf "record %d of this demo, %d, %d\n", i, i * i, i % 7 }' >"$data/records" &&
        echo "lines that this script made" >"$data/source"
}

show_facts() {
    printf 'Aether     %s, %s\n' "$("$cli" --version)" "$(uname -srm)"
    printf 'Machine    %s cores: %s\n' "$(nproc)" "$(sed -n '/^model name/{s/.*: *//p;q}' /proc/cpuinfo)"
    printf 'Records    %s %s\n' "$(grouped "$(wc -l <"$data/records")")" "$(cat "$data/source")"
    printf 'Daemon     pid %s, asked when a topic is opened or closed; no record passes through it\n\n' "$daemon"
    "$cli" topic info flights/nyc || fail "aether-cli topic info"
}

# Does the daemon's part of what flights.c asks for, in the order in which it asks.
answer_events() {
    local event more
    while read -r event more; do
        case $event in
        stats)
            echo '$ aether-cli stats'
            "$cli" stats || fail "aether-cli stats"
            ;;
        kill)
            echo "Killing aetherd: kill -9 $daemon"
            end "$daemon" KILL
            daemon=''
            killed=1
            ;;
        start)
            start_daemon || fail "the new aetherd doesn't answer"
            echo "Started aetherd again: pid $daemon. It has adopted the topic and everybody on it."
            ;;
        result)
            read -r compared mismatches <<<"$more"
            continue
            ;;
        esac
        echo 'done' >&4 || return
    done <&3
}

run_flights() {
    local status
    mkfifo "$scratch/events" "$scratch/answers" || fail "mkfifo"
    "$flights" "$AETHER_SOCKET" "$data/records" <"$scratch/answers" 3>"$scratch/events" &
    helper=$!
    # Both sides open in the same order, since each open waits for the other side.
    exec 4>"$scratch/answers" 3<"$scratch/events"
    answer_events
    wait "$helper"
    status=$?
    helper=''
    exec 3</dev/null 4>/dev/null
    [ "$mismatches" = 0 ] || fail "$mismatches of $compared records weren't what was published"
    [ $status = 0 ] || fail "the publisher or a subscriber failed, as said above"
}

subscribed() { "$cli" topic info "$1" --json | grep -Eq '"reliable": ?1[,}]'; }

run_pipes() {
    local count
    count=$(wc -l <"$data/records")
    create_topic flights/plain || fail "aether-cli topic create"
    echo '$ aether-cli sub flights/plain --policy reliable --raw --count '"$count"' > received &'
    "$cli" sub flights/plain --policy reliable --raw --count "$count" </dev/null >"$scratch/received" &
    helper=$!
    wait_until subscribed flights/plain || fail "aether-cli sub doesn't join"
    echo '$ aether-cli pub flights/plain < records'
    timeout "$hang" "$cli" pub flights/plain --verbose <"$data/records" || fail "aether-cli pub"
    wait "$helper" || fail "aether-cli sub"
    helper=''
    echo '$ cmp received records'
    cmp "$scratch/received" "$data/records" || fail "what aether-cli sub wrote isn't what was published"
    echo "the same $(grouped "$(wc -c <"$scratch/received")") bytes"
    compared=$((compared + count))
}

all_three_received() {
    local part
    for part in 0 1 2; do
        grep -q "^$part:" "$scratch/received" || return
    done
}

# Three publishers at once, each with a third of the records, and a fourth that is killed in the middle: one order, in
# which each publisher's records have theirs.
#
# --exit-at-end ends the subscriber whenever no publisher is attached. On a busy machine two of the three may close
# before the third has connected, so the fourth stays until a record of each has arrived: from then on the stream ends
# when the last of the three closes, and not earlier.
run_crowd() {
    local part subscriber doomed publishers=()
    for part in 0 1 2; do
        awk -v part=$part 'NR % 3 == part { print part ":" $0 }' "$data/records" >"$scratch/part$part"
    done
    create_topic flights/crowd || fail "aether-cli topic create"
    echo '$ aether-cli sub flights/crowd --policy reliable --raw --exit-at-end > received &'
    "$cli" sub flights/crowd --policy reliable --raw --exit-at-end --verbose </dev/null >"$scratch/received" &
    subscriber=$!
    helper=$subscriber
    wait_until subscribed flights/crowd || fail "aether-cli sub doesn't join"
    echo '$ yes "to be killed" | aether-cli pub flights/crowd &'
    yes 'to be killed' | "$cli" pub flights/crowd &
    doomed=$!
    wait_until grep -q killed "$scratch/received" || fail "the fourth publisher doesn't publish"
    echo "\$ for part in 0 1 2; do aether-cli pub flights/crowd < part\$part & done; kill -9 the fourth"
    for part in 0 1 2; do
        timeout "$hang" "$cli" pub flights/crowd <"$scratch/part$part" &
        publishers+=($!)
    done
    wait_until all_three_received || fail "not all of the three publish"
    end "$doomed" KILL
    for part in 0 1 2; do
        wait "${publishers[$part]}" || fail "aether-cli pub"
    done
    wait "$subscriber" || fail "aether-cli sub"
    helper=''
    for part in 0 1 2; do
        echo "\$ grep ^$part: received | cmp - part$part"
        grep "^$part:" "$scratch/received" | cmp - "$scratch/part$part" || fail "publisher $part's records aren't whole and in order"
    done
    grep -v '^[012]:' "$scratch/received" | grep -vqx 'to be killed' && fail "a message that nobody published"
    echo "$(grouped "$(wc -l <"$scratch/received")") messages in one order, $(grouped "$(grep -c killed "$scratch/received")") of them from the one that was killed"
    compared=$((compared + $(wc -l <"$data/records")))
}

# All records as one large message, which lies in the publisher's lane and not in the ring's slots.
run_file() {
    echo '$ aether-cli pub flights/file --file records'
    "$cli" pub flights/file --file "$data/records" </dev/null || fail "aether-cli pub --file"
    echo '$ aether-cli sub flights/file --from oldest --count 1 --dump dump'
    timeout "$hang" "$cli" sub flights/file --from oldest --count 1 --dump "$scratch/dump" </dev/null ||
        fail "aether-cli sub --dump"
    echo '$ cmp dump/* records'
    cmp "$scratch/dump/"* "$data/records" || fail "the message isn't the file"
    echo "the same $(grouped "$(wc -c <"$data/records")") bytes"
}

run_bench() {
    local what
    for what in 'throughput --size 8' 'throughput --size 8 --publishers 2' 'throughput --size 1M --loan' 'latency --size 8' wakeup; do
        echo "\$ aether-cli bench $what --runs 3"
        # shellcheck disable=SC2086
        timeout "$hang" "$cli" bench $what --runs 3 </dev/null || fail "aether-cli bench $what"
        echo
    done
}

# ---- the demo --------------------------------------------------------------------------------------------------------

for program in "$aetherd" "$cli" "$flights"; do
    [ -x "$program" ] || fail "$program isn't there: run make build first"
done
scratch=$(mktemp -d) || fail "mktemp -d"
export AETHER_SOCKET=$scratch/aetherd.sock
compared=0
mismatches=0

headline "What runs here"
if [ -n "$short" ]; then make_records; else "$here/fetch.sh" "$data"; fi || fail "there are no records to publish"
start_daemon || fail "aetherd doesn't answer"
show_facts

headline "One publisher process, four subscriber processes, and a daemon that is killed on the way"
run_flights

headline "The command line: a fifth subscriber in a pipe"
run_pipes

headline "Three publishers on one topic, and a fourth that is killed"
run_crowd

headline "All of it as one message"
run_file

headline "Who is slow? Two subscribers misbehave on purpose (make demo-observe shows more)"
"$here/observe.sh" --short "$build" || fail "what is said about programs that misbehave isn't true"

if [ -z "$short" ]; then
    headline "What this machine can do: from one process to another"
    run_bench
fi

"$cli" shutdown || fail "aether-cli shutdown"
wait "$daemon" || fail "aetherd ended with status $?"
daemon=''
printf 'DEMO PASSED: 6 subscribers, %s records compared byte for byte, 0 mismatches\n' "$(grouped "$compared")"
