#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# kill-campaign.sh [KILLS [SEED [BUILD]]] - kills far more than the tests have time for, against the release build.
#
# KILLS   random SIGKILLs of publishers, with readers that check everything (default 20000, some 10 minutes)
# SEED    repeats a run of these (default: one that is told)
# BUILD   a build directory with tests enabled (default build)
set -u
cd "$(dirname "$0")/.." || exit

kills=${1:-20000}
seed=${2:-$((SRANDOM % 1000000))}
build=${3:-build}
status=0

say() { printf '\n== %s\n' "$*"; }

ninja -C "$build" --quiet cmd/aetherd tests/data_publishers_kill || exit
export AETHERD=$PWD/$build/cmd/aetherd

# ---- a kill after every single instruction: its program goes here ----

say "$kills random kills, seed $seed"
"$build/tests/data_publishers_kill" "$kills" "$seed" || status=1

say "recovery: from a kill in an open claim to the next message"
"$build/tests/data_publishers_kill" --recovery 500 "$seed" || status=1

exit $status
