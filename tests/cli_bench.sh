#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench: what it reports, and that it leaves nothing behind. The speed isn't tested.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
if [ "$(nproc)" -lt 2 ]; then
    echo "1..0 # SKIP two spinning processes need two cores"
    exit
fi
. "$(dirname "$0")/cli.inc.sh"

# reports EXPRESSION COMMAND...: prints one JSON object, and the python expression on `r` is true.
reports() {
    local expression=$1
    shift
    run "$AETHER_CLI" bench "$@" --runs 1 --seconds 0.02 --json
    [ "$status" -eq 0 ] && json_rows "$tmp/out" "len(rows) == 1 and (lambda r: $expression)(rows[0])" && return
    sed 's/^/# /' "$tmp/err"
    return 1
}
# In a directory of its own, because another bench may run on this machine. A registry contains the path of its
# daemon's socket.
export TMPDIR=$tmp
left_nothing() { ! grep -qsF "$tmp/aether-bench-" /dev/shm/aether-*.registry && [ -z "$(find "$tmp" -maxdepth 1 -name 'aether-bench-*')" ]; }
no_topic() { [ -z "$("$AETHER_CLI" topic ls --json)" ]; }

for size in 0 7 64 4088 4089 64M; do
    ok "throughput, $size bytes" reports "r['msgs_per_s'] > 0 and r['floor_ns'] > 0 and r['lost'] == 0 and r['size'] == $(numfmt --from=iec $size)
        and abs(r['bytes_per_s'] - r['msgs_per_s'] * r['size']) < 1 and (r['lane_bytes'] >= 8 << 20) == (r['size'] > 4088)" \
        throughput --size "$size"
done
for size in 0 100 16M; do
    ok "latency, $size bytes" reports "0 < r['rtt_p50_ns'] <= r['rtt_p99_ns'] <= r['rtt_p999_ns'] and r['floor_ns'] > 0" \
        latency --size "$size"
done
for words in "--size 8" "--size 1M --touch first" "--size 100K --lane 1M --capacity 8"; do
    # shellcheck disable=SC2086 # several words
    ok "throughput, loans, $words" reports "r['msgs_per_s'] > 0 and r['lost'] == 0 and r['loan'] is True" throughput --loan $words
done
ok "one publisher: an exclusive topic" reports "r['publishers'] == 1 and r['mode'] == 'exclusive' and r['batch'] == 1
    and r['max_stall_ms'] >= 0" throughput
ok "--shared" reports "r['publishers'] == 1 and r['mode'] == 'shared' and r['lost'] == 0" throughput --shared
ok "--no-bias" reports "r['mode'] == 'unbiased' and r['lost'] == 0" throughput --no-bias
for words in "--publishers 2" "--publishers 3 --size 12 --capacity 8" "--publishers 2 --no-bias --size 1000" "--publishers 2 --batch 16" \
    "--publishers 2 --size 100K" "--publishers 2 --size 100K --loan" "--publishers 2 --size 100K --loan --touch first" "--batch 5 --size 7"; do
    # shellcheck disable=SC2086 # several words
    ok "throughput, $words" reports "r['msgs_per_s'] > 0 and r['lost'] == 0 and r['max_stall_ms'] >= 0
        and r['publishers'] == $([[ $words =~ publishers\ ([0-9]) ]] && echo "${BASH_REMATCH[1]}" || echo 1)
        and (r['mode'] != 'exclusive') == (r['publishers'] > 1)" throughput $words
done
ok "--batch: how many" reports "r['batch'] == 16" throughput --batch 16
run "$AETHER_CLI" bench throughput --publishers 2 --runs 1 --seconds 0.02
ok "for people: what shares a core" grep -q '^  publishers      2, which share a core, shared topic$' "$tmp/out"
ok "for people: stalls" grep -q '^  longest stall   ' "$tmp/out"
ok "a batch of more than half the ring" refuses 1 "" bench throughput --runs 1 --seconds 0.02 --capacity 8 --batch 5 --json
ok "fan-out" reports "r['subscribers'] == 3 and r['lost'] == 0" fanout --subscribers 3 --capacity 4096
ok "fan-out, large messages" reports "r['subscribers'] == 2 and r['lost'] == 0" fanout --size 300K
ok "wake-up" reports "0 < r['wake_p50_ns'] <= r['wake_p99_ns'] and 0 < r['futex_p50_ns'] <= r['futex_p99_ns'] and r['samples'] > 0
    and r['floor_ns'] > 0 and r['p50_per_futex_min'] <= r['p50_per_futex'] <= r['p50_per_futex_max']" wakeup --size 100
ok "its private daemon leaves nothing" left_nothing
ok "a message too large" refuses 2 67108864 bench throughput --size 65M
ok "a capacity that is none" refuses 2 "power of two" bench throughput --capacity 100
start_daemon || exit 1
ok "with a daemon that runs" reports "r['lost'] == 0" throughput
ok "its topic is removed" no_topic
ok "several publishers with a daemon that runs" reports "r['lost'] == 0" throughput --publishers 4
ok "their topic is removed" no_topic
finish
