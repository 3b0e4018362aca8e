#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# models.sh - the quick part of the model checks: protocols hold, mutants are caught. models/run.py runs all of them.
set -u
cd "${SOURCE:-$(dirname "$0")/..}" || exit

if ! command -v spin >/dev/null; then
    echo "1..0 # SKIP spin is not installed"
    exit 0
fi
exec models/run.py --smoke --tap
