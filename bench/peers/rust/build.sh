#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Rust adapters, and puts them where run.py looks for them: build/adapters/NAME.
set -euo pipefail

cd "$(dirname "$0")"
out=$(cd ../../.. && pwd)/build/adapters
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
if ! command -v cargo >/dev/null; then
    echo "rust peers: cargo is missing: see https://rustup.rs" >&2
    exit 1
fi
export CARGO_TARGET_DIR=$out/cargo RUSTFLAGS="-C target-cpu=native -C llvm-args=-align-loops=64"
cargo build --release --locked --quiet
for name in rtrb crossbeam iceoryx2; do
    rm -f "$out/.$name.new"
    cp "$CARGO_TARGET_DIR/release/$name" "$out/.$name.new" # not over one that runs
    mv "$out/.$name.new" "$out/$name"
done
