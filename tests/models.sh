#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# models.sh - the short run of the models: the protocols hold, and mutants are found. models/run.py has the full run.
set -u
cd "${SOURCE:-$(dirname "$0")/..}" || exit

if ! command -v spin >/dev/null; then
    echo "1..0 # SKIP spin is not installed"
    exit 0
fi
exec models/run.py --smoke --tap
