#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh - builds Aether four ways and runs its tests: release, under AddressSanitizer and UndefinedBehaviorSanitizer,
# under ThreadSanitizer, and (compiled only) with clang. The last line is the sum: "N passed, N failed[, N skipped]".
set -u
cd "$(dirname "$0")/.." || exit

outcomes=()

say() { printf '\n== %s\n' "$*"; }

# build NAME DIRECTORY COMPILER OPTION...: fails, and notes that, if it can't be built. Compiles the tests, too.
build() {
    local name=$1 directory=$2 compiler=$3
    shift 3
    say "$name: building in $directory/"
    if [ -f "$directory/build.ninja" ]; then
        meson configure "$directory" -Dtests=enabled "$@" >/dev/null
    else
        CC=$compiler meson setup "$directory" -Dtests=enabled "$@" >"$directory.log" 2>&1 || cat "$directory.log"
        rm -f "$directory.log"
    fi
    if ! ninja -C "$directory" --quiet all meson-test-prereq; then
        outcomes+=("$name:!does not build")
        return 1
    fi
}

# run NAME DIRECTORY COMMAND...: runs all tests of a build.
run() {
    local name=$1 directory=$2
    shift 2
    say "$name: testing"
    rm -f "$directory/meson-logs/testlog.json"
    "$@" meson test -C "$directory" --no-rebuild --print-errorlogs
    outcomes+=("$name:$directory")
}

# In gcc's sanitizer builds optimisation confuses the compiler's flow analysis, so warnings are errors only in the others.
build release build gcc -Dwerror=true &&
    run release build env

build "asan, ubsan" build-asan gcc -Db_sanitize=address,undefined -Doptimization=1 &&
    run "asan, ubsan" build-asan env ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1

# ThreadSanitizer needs its shadow memory where a kernel with much address randomisation may have put something else.
steady=(env)
setarch -R true 2>/dev/null && steady=(setarch -R env)
build tsan build-tsan gcc -Db_sanitize=thread -Doptimization=1 &&
    run tsan build-tsan "${steady[@]}" TSAN_OPTIONS=halt_on_error=1

build "clang, compiled" build-clang clang -Dwerror=true &&
    outcomes+=("clang, compiled:")

say "sum"
exec python3 tools/tally.py "${outcomes[@]}"
