#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh - builds Aether three times and runs the tests for which each build is useful:
#
#   release                        all tests
#   AddressSanitizer and UBSan     all but the long tests: errors of memory inside each process
#   ThreadSanitizer, by clang      the tests with several threads in one process: it sees no other races
#
# clang compiles what those tests need, and checks everything else, so that its warnings are errors. Many tests wait for
# other programs or for the time, so one more runs than there are cores. The last line is the sum: "N passed, N failed[, N
# skipped]".
set -u
cd "$(dirname "$0")/.." || exit

outcomes=()
processes=$(($(nproc) + 1))

say() { printf '\n== %s\n' "$*"; }

# build NAME DIRECTORY SLICE COMPILER OPTION...: builds what the tests of a suite need; all if SLICE is empty. Fails if it
# can't, which counts as a failed test.
build() {
    local name=$1 directory=$2 slice=$3 compiler=$4 make=(ninja -C "$2" --quiet all meson-test-prereq)
    shift 4
    [ -z "$slice" ] || make=(tools/slice.py "$directory" "$slice")
    say "$name: building in $directory/"
    if [ -f "$directory/build.ninja" ]; then
        meson configure "$directory" -Dtests=enabled "$@" >/dev/null
    else
        CC=$compiler meson setup "$directory" -Dtests=enabled "$@" >"$directory.log" 2>&1 || cat "$directory.log"
        rm -f "$directory.log"
    fi
    if ! "${make[@]}"; then
        outcomes+=("$name:!does not build")
        return 1
    fi
}

# run NAME DIRECTORY SLICE COMMAND...: runs tests of a build with the prefix COMMAND. SLICE: the tests of that suite;
# no-SUITE: the others; empty: all.
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
    "$@" meson test -C "$directory" --no-rebuild --print-errorlogs --num-processes "$processes" "${select[@]}"
    outcomes+=("$name:$directory:$slice")
}

build release build '' gcc -Dwerror=true &&
    run release build '' env

# No -Dwerror: with sanitizers, the flow analysis of gcc gives wrong warnings. Not optimised, and with no more than lines
# for reports: with -O1 and -g it takes more than twice as long to compile.
build "asan, ubsan" build-asan '' gcc -Db_sanitize=address,undefined -Doptimization=0 -Ddebug=false -Dc_args=-g1 &&
    run "asan, ubsan" build-asan no-long env ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "LSAN_OPTIONS=suppressions=$PWD/tools/lsan.supp:print_suppressions=0"

# ThreadSanitizer needs fixed addresses for its shadow memory; with much address randomisation they may be taken.
steady=(env)
setarch -R true 2>/dev/null && steady=(setarch -R env)
# b_lundef: with clang a shared library leaves the sanitizer's functions undefined; the program has them.
build "tsan, clang" build-tsan threads clang -Db_sanitize=thread -Db_lundef=false -Doptimization=1 -Dwerror=true &&
    run "tsan, clang" build-tsan threads "${steady[@]}" TSAN_OPTIONS=halt_on_error=1

say "sum"
exec python3 tools/tally.py "${outcomes[@]}"
