#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh - builds Aether three ways and runs the tests that each build is good for:
#
#   release                        all of them
#   AddressSanitizer and UBSan     all but the long ones: how each process uses its memory
#   ThreadSanitizer, by clang      those with several threads in one process, which is all that it sees
#
# clang compiles everything, so that its warnings are errors, too. The last line is the sum: "N passed, N failed[, N
# skipped]".
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

# run NAME DIRECTORY SLICE COMMAND...: runs the tests of a build that are in a suite, or (no-SUITE) aren't, or ("") all.
# A test that takes four times its time on this machine is taken for one that hangs.
run() {
    local name=$1 directory=$2 slice=$3 select=()
    shift 3
    say "$name: testing"
    case $slice in
    '') ;;
    no-*) select=(--no-suite "${slice#no-}") ;;
    *) select=(--suite "$slice") ;;
    esac
    rm -f "$directory/meson-logs/testlog.json"
    "$@" meson test -C "$directory" --no-rebuild --print-errorlogs --timeout-multiplier 4 "${select[@]}"
    outcomes+=("$name:$directory:$slice")
}

build release build gcc -Dwerror=true &&
    run release build '' env

# In gcc's sanitizer builds optimisation confuses the compiler's flow analysis, so warnings are errors only in the others.
build "asan, ubsan" build-asan gcc -Db_sanitize=address,undefined -Doptimization=1 &&
    run "asan, ubsan" build-asan no-long env ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1

# ThreadSanitizer needs its shadow memory where a kernel with much address randomisation may have put something else.
steady=(env)
setarch -R true 2>/dev/null && steady=(setarch -R env)
# clang leaves the sanitizer's functions in a shared library for the program to bring (b_lundef).
build "tsan, clang" build-tsan clang -Db_sanitize=thread -Db_lundef=false -Doptimization=1 -Dwerror=true &&
    run "tsan, clang" build-tsan threads "${steady[@]}" TSAN_OPTIONS=halt_on_error=1

say "sum"
exec python3 tools/tally.py "${outcomes[@]}"
