#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh [peers] - builds the floor and Aether's adapter into build/adapters/; with `peers` the others, too. An adapter
# that can't be built is left out, and the reason is in build/adapters/NAME.skipped, which the report tells.
set -u
cd "$(dirname "$0")/.." || exit
out=build/adapters
root=$PWD
mkdir -p "$out"

# The same for all: what a user who cares would take. -march=native also for Rust's adapters. Loops begin at a cache line:
# where they happen to lie is worth up to a third, and would be a matter of what else is in the file.
cxx=(g++ -std=c++20 -O3 -march=native -falign-functions=64 -falign-loops=64 -falign-jumps=64 -Wall -Wextra)

directive() { sed -n "s|^ \* $2: ||p" "$1"; } # FILE NAME

skip() { # NAME WHY
    echo "$1: skipped: $2"
    echo "$2" >"$out/$1.skipped"
    rm -f "${out:?}/$1"
}

# Adapters are built anew only if they, the harness or Aether changed.
is_new() { # NAME SOURCE
    [ -x "$out/$1" ] && [ -z "$(find "$2" bench/harness include build/src/libaether.so -newer "$out/$1" -print -quit)" ]
}

cxx_flags() { # DIRECTIVE
    case $1 in
    '') ;;
    aether) echo "-Iinclude -Lbuild/src -laether -Wl,-rpath,$root/build/src" ;;
    '- '*) echo "${1#- }" ;;
    *) bash -c "$1" ;;
    esac
}

build_cxx() { # SOURCE
    local name flags log
    name=$(basename "$1" .cpp)
    is_new "$name" "$1" && return 0
    rm -f "$out/$name.skipped"
    if ! flags=$(cxx_flags "$(directive "$1" flags)" 2>&1); then
        skip "$name" "needs the Debian packages: $(directive "$1" debian)"
        return 1
    fi
    # shellcheck disable=SC2086 # flags are words
    if ! log=$("${cxx[@]}" "$1" -o "$out/$name" $flags 2>&1); then
        skip "$name" "does not build: $(grep -m 1 -E 'error|cannot' <<<"$log")"
        return 1
    fi
    echo "$name: built"
}

build_other() { # NAME...: with the script of a language
    local language=$1 log
    shift
    for name; do rm -f "$out/$name.skipped"; done
    if ! log=$("bench/peers/$language/build.sh" 2>&1); then
        for name; do skip "$name" "$(tail -n 1 <<<"$log")"; done
        return 1
    fi
    echo "$*: built"
}

gcc -O2 -Wall -Wextra bench/floor.c -o "$out/floor" || exit
build_cxx bench/peers/aether.cpp || exit
[ "${1-}" = peers ] || exit 0
for source in bench/peers/*.cpp; do
    build_cxx "$source"
done
build_other rust rtrb crossbeam iceoryx2
build_other java disruptor agrona aeron
for script in bench/peers/*.sh; do
    [ -e "$script" ] && install "$script" "$out/$(basename "$script" .sh)"
done
exit 0
