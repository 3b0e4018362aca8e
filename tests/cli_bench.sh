#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench: what it reports and what it leaves behind. Says nothing about speed.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
if [ "$(nproc)" -lt 2 ]; then
    echo "1..0 # SKIP two spinning processes need two cores"
    exit
fi
. "$(dirname "$0")/cli.inc.sh"

# reports EXPRESSION COMMAND...: one JSON object, of which the python expression on `r` holds.
reports() {
    local expression=$1
    shift
    run "$AETHER_CLI" bench "$@" --runs 1 --seconds 0.02 --json
    [ "$status" -eq 0 ] && json_rows "$tmp/out" "len(rows) == 1 and (lambda r: $expression)(rows[0])" && return
    sed 's/^/# /' "$tmp/err"
    return 1
}
# A registry holds the path of its daemon's socket.
left_nothing() { ! grep -qs aether-bench- /dev/shm/aether-*.registry && [ -z "$(find /tmp -maxdepth 1 -name 'aether-bench-*')" ]; }
no_topic() { [ -z "$("$AETHER_CLI" topic ls --json)" ]; }

for size in 0 7 8 32 64 1000 4088; do
    ok "throughput, $size bytes" reports "r['msgs_per_s'] > 0 and r['floor_ns'] > 0 and r['lost'] == 0 and r['size'] == $size" \
        throughput --size "$size"
done
for size in 0 8 100 4088; do
    ok "latency, $size bytes" reports "0 < r['rtt_p50_ns'] <= r['rtt_p99_ns'] <= r['rtt_p999_ns'] and r['floor_ns'] > 0" \
        latency --size "$size"
done
ok "fan-out" reports "r['subscribers'] == 3 and r['lost'] == 0" fanout --subscribers 3 --capacity 4096
ok "its private daemon leaves nothing" left_nothing
ok "a message too large" refuses 2 4088 bench throughput --size 5000
ok "a capacity that is none" refuses 2 "power of two" bench throughput --capacity 100
start_daemon || exit 1
ok "with a daemon that runs" reports "r['lost'] == 0" throughput
ok "its topic is removed" no_topic
finish
