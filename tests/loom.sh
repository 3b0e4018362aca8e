#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# loom.sh - the short run of the ring's code under loom. models/loom/run.py has the full run.
set -u
cd "${SOURCE:-$(dirname "$0")/..}" || exit

skip() {
    echo "1..0 # SKIP $*"
    exit 0
}

command -v cargo >/dev/null || skip "cargo is not installed"
(cd models/loom && cargo fetch --locked --quiet) || skip "the crates that it needs can't be had"
exec models/loom/run.py --smoke --tap
