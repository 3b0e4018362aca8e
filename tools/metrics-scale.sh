#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# metrics-scale.sh [BUILD] - what reading the metrics of 1,000 and 10,000 topics costs: a pass of the library, which is the
# floor, and scrapes of aether-metrics, with 200 topics by name and with all. Prints a table of times, bytes, processor
# time, its ratio to the floor, and memory after the 2nd and the 20th scrape, which should be the same. Needs curl. Takes
# 4 to 5 minutes on two idle cores, several times as long beside other programs, and 1.2 GB of /dev/shm; says on stderr
# what it is doing. No test: it asserts nothing.
set -eu
cd "$(dirname "$0")/.."

SCRAPES=20

# ---- within metrics_scale, while the topics are open: metrics-scale.sh --scrape BUILD DIRECTORY TOPICS ----

progress() { printf '%(%T)T %s\n' -1 "$*" >&2; }

# Microseconds of processor time that the process has used.
used_us() {
    local sum=0 nanoseconds task
    for task in "/proc/$1/task/"*; do
        read -r nanoseconds _ <"$task/schedstat"
        sum=$((sum + nanoseconds))
    done
    echo $((sum / 1000))
}
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

scrape() { # URL-PATH ACCEPT: prints seconds and bytes
    curl -sS -o "$dir/body" -w '%{time_total} %{size_download}\n' -H "Accept: $2" --unix-socket "$dir/m.sock" "http://localhost$1"
}

measure() { # LABEL TOPICS-BY-NAME PATH ACCEPT
    "$build/cmd/aether-metrics" --config "$dir/metrics.conf" --socket "$dir/aetherd.sock" --topics "$2" \
        --listen "unix:$dir/m.sock" &
    local pid=$! early late begin
    progress "$topics topics: $SCRAPES scrapes of $1, $2 topics by name"
    until [ -S "$dir/m.sock" ]; do sleep 0.05; done
    scrape "$3" "$4" >/dev/null
    scrape "$3" "$4" >/dev/null # rates are known from here on
    early=$(resident "$pid")
    begin=$(used_us "$pid")
    for ((i = 2; i < SCRAPES; i++)); do scrape "$3" "$4"; done >"$dir/times"
    local used=$(($(used_us "$pid") - begin))
    late=$(resident "$pid")
    sort -n "$dir/times" | awk -v label="$1" -v all="$topics" -v shown="$2" -v us="$used" -v floor="$FLOOR_MS" \
        -v early="$early" -v late="$late" '
        { time[NR] = $1; bytes = $2 }
        END { cpu = us / 1000 / NR
              printf "| %-11s | %6d | %5d | %8.1f | %8.1f | %8.1f | %5.1f | %8.2f | %6.1f | %6.1f |\n", label, all, shown,
                     time[1] * 1000, time[int((NR + 1) / 2)] * 1000, cpu, cpu / floor, bytes / 1e6, early / 1024, late / 1024 }'
    kill "$pid"
    wait "$pid" || true
}

if [ "${1-}" = --scrape ]; then
    build=$2 dir=$3 topics=$4
    printf '[metrics]\ninterval = 0\nlog_level = warning\n' >"$dir/metrics.conf"
    printf '| floor: pass | %6d |     - |        - |        - | %8.1f | %5.1f |        - |      - |      - |\n' "$topics" "$FLOOR_MS" 1
    for shown in 200 "$topics"; do
        measure Prometheus "$shown" /metrics 'text/plain'
        measure OpenMetrics "$shown" /metrics 'application/openmetrics-text;version=1.0.0'
        measure JSON "$shown" /api/topics.json '*/*'
    done
    exit
fi

# ---- outside ----

build=${1:-build}
ninja -C "$build" cmd/aetherd cmd/aether-metrics bench/metrics_scale >&2
dir=$(mktemp -d)
daemon=
finish() {
    if [ -n "$daemon" ]; then
        kill "$daemon"
        wait "$daemon" || true
    fi
    rm -r "$dir"
}
trap finish EXIT

cat >"$dir/aetherd.conf" <<CONF
[daemon]
socket = $dir/aetherd.sock
log_level = warning

[limits]
topics = 10000
grants = 40000
CONF

for topics in 1000 10000; do
    progress "$topics topics: opening them, and passes of the library"
    "$build/cmd/aetherd" --config "$dir/aetherd.conf" &
    daemon=$!
    until [ -S "$dir/aetherd.sock" ]; do sleep 0.05; done
    "$build/bench/metrics_scale" "$dir/aetherd.sock" "$topics" 1000 5 \
        tools/metrics-scale.sh --scrape "$build" "$dir" "$topics" >"$dir/out"
    echo "# $topics topics, 1000 of them with a publisher and two subscribers"
    grep '^pass' "$dir/out"
    echo '| what        | topics | named | min ms   | median   | CPU ms   | ratio | MB       | MiB  2 | MiB 20 |'
    echo '|-------------|-------:|------:|---------:|---------:|---------:|------:|---------:|-------:|-------:|'
    grep '^|' "$dir/out"
    kill "$daemon"
    wait "$daemon" || true
    daemon=
done
