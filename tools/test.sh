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
# other programs or for the time. So two more run than there are cores, and meanwhile the sanitizers' builds are made, at
# a low priority. The last line is the sum: "N passed, N failed[, N skipped]".
set -u
cd "$(dirname "$0")/.." || exit

outcomes=()
processes=$(($(nproc) + 2))

say() { printf '\n== %s\n' "$*"; }

# build NAME DIRECTORY SLICE COMPILER OPTION...: builds what the tests of SLICE need, the words for tools/slice.py; all if
# it is empty.
build() {
    local name=$1 directory=$2 slice=$3 compiler=$4 make=(ninja -C "$2" --quiet all meson-test-prereq)
    shift 4
    # shellcheck disable=SC2206 # several words
    [ -z "$slice" ] || make=(tools/slice.py "$directory" $slice)
    say "$name: building in $directory/"
    if [ -f "$directory/build.ninja" ]; then
        meson configure "$directory" -Dtests=enabled "$@" >/dev/null
    else
        CC=$compiler meson setup "$directory" -Dtests=enabled "$@" >"$directory.log" 2>&1 || cat "$directory.log"
        rm -f "$directory.log"
    fi
    "${make[@]}"
}

# built NAME STATUS: fails if the build has failed, which counts as a failed test.
built() {
    [ "$2" = 0 ] || outcomes+=("$1:!does not build")
    return "$2"
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

# gcc has no -Dwerror here: with sanitizers, its flow analysis gives wrong warnings. It doesn't optimise, and writes no
# more than lines for reports: with -O1 and -g it takes more than twice as long to compile. b_lundef: with clang a shared
# library leaves the sanitizer's functions undefined; the program has them.
# Exit status: 1 if the first doesn't build, plus 2 if the second doesn't.
build_sanitized() {
    local failed=0
    build "asan, ubsan" build-asan no-long gcc -Db_sanitize=address,undefined -Doptimization=0 -Ddebug=false \
        -Dc_args=-g1 || failed=1
    build "tsan, clang" build-tsan "threads check" clang -Db_sanitize=thread -Db_lundef=false -Doptimization=1 \
        -Dwerror=true || failed=$((failed + 2))
    return "$failed"
}

build release build '' gcc -Dwerror=true
status=$?

# In a process group of its own, so that it ends as a whole if this script is interrupted.
sanitized_log=$(mktemp)
set -m
(
    renice -n 10 "$BASHPID" >/dev/null
    build_sanitized
) </dev/null >"$sanitized_log" 2>&1 &
job=$!
set +m
trap 'kill -- "-$job" 2>/dev/null; rm -f "$sanitized_log"' EXIT

built release "$status" && run release build '' env

wait "$job"
status=$?
trap - EXIT
cat "$sanitized_log"
rm -f "$sanitized_log"

built "asan, ubsan" $((status & 1)) &&
    run "asan, ubsan" build-asan no-long env ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "LSAN_OPTIONS=suppressions=$PWD/tools/lsan.supp:print_suppressions=0"

# ThreadSanitizer needs fixed addresses for its shadow memory; with much address randomisation they may be taken.
steady=(env)
setarch -R true 2>/dev/null && steady=(setarch -R env)
built "tsan, clang" $((status > 1)) && run "tsan, clang" build-tsan threads "${steady[@]}" TSAN_OPTIONS=halt_on_error=1

say "sum"
exec python3 tools/tally.py "${outcomes[@]}"
