#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - the demos end well, without what they download and measure (TAP).
set -u
echo 1..1
if output=$("$SOURCE/demo/run.sh" --short "$BUILD" 2>&1 </dev/null); then
    echo "ok 1 - demo/run.sh --short: ${output##*$'\n'}"
else
    echo "not ok 1 - demo/run.sh --short"
    echo "${output//$'\n'/$'\n'# }" | sed '1s/^/# /'
    exit 1
fi
