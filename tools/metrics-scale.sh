#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# metrics-scale.sh [BUILD] - how long a pass over the metrics of 1,000 and 10,000 topics takes, and how much memory its
# reader needs. Takes half a minute and 1.2 GB of /dev/shm. No test: it asserts nothing.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
ninja -C "$build" cmd/aetherd bench/metrics_scale >&2
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
    echo "# $topics topics, 1000 of them with a publisher and two subscribers"
    "$build/cmd/aetherd" --config "$dir/aetherd.conf" &
    daemon=$!
    until [ -S "$dir/aetherd.sock" ]; do sleep 0.05; done
    "$build/bench/metrics_scale" "$dir/aetherd.sock" "$topics" 1000 5
    kill "$daemon"
    wait "$daemon" || true
    daemon=
done
