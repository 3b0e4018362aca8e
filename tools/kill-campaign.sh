#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# kill-campaign.sh [KILLS [SEED [BUILD [POINTS]]]] - kills processes of a release build far more often than the tests.
#
# KILLS   random SIGKILLs of publishers, while subscribers check every message (default 20000, about 20 minutes)
# SEED    repeats an earlier run (default: a random seed, which is printed)
# BUILD   a build directory with tests enabled (default build)
# POINTS  kills after an instruction of a publisher, a subscriber or a repair (default 25000000, about 20 minutes)
set -u
cd "$(dirname "$0")/.." || exit

kills=${1:-20000}
seed=${2:-$((SRANDOM % 1000000))}
build=${3:-build}
points=${4:-25000000}
status=0

say() { printf '\n== %s\n' "$*"; }

ninja -C "$build" --quiet cmd/aetherd tests/data_publishers_kill tests/kill_points || exit
export AETHERD=$PWD/$build/cmd/aetherd

say "$points kills after an instruction, seed $seed"
"$build/tests/kill_points" --points "$points" --seed "$seed" || status=1

say "$kills random kills, seed $seed"
"$build/tests/data_publishers_kill" "$kills" "$seed" || status=1

say "recovery: from a kill in an open claim to the next message"
"$build/tests/data_publishers_kill" --recovery 500 "$seed" || status=1

exit $status
