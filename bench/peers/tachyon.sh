#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Tachyon IPC (tachyon-ipc on PyPI, its core in C++) comes as source that needs GCC 14 or Clang 17, or newer. There is
# no adapter for it yet; `describe` finds out what is in the way here.
set -u
gcc_needed=14
clang_needed=17

# The newest of these programs: "MAJOR PROGRAM", or nothing.
newest() { # NAME
    local program version
    for program in $(compgen -c "$1" | sort -u); do
        [[ ${program#"$1"} =~ ^(-[0-9]+)?$ ]] || continue
        version=$("$program" -dumpversion 2>/dev/null) && echo "${version%%.*} $program"
    done | sort -n | tail -n 1
}

why() {
    local gcc clang found_gcc found_clang
    gcc=$(newest g++)
    clang=$(newest clang++)
    found_gcc=${gcc%% *}
    found_clang=${clang%% *}
    if ! python3 -m pip --version >/dev/null 2>&1; then
        echo "needs pip for Python 3, found none"
    elif [ "$found_gcc" -ge $gcc_needed ] 2>/dev/null; then
        echo "there is ${gcc#* } to build it with, but no adapter for it yet"
    elif [ "$found_clang" -ge $clang_needed ] 2>/dev/null; then
        echo "there is ${clang#* } to build it with, but no adapter for it yet"
    else
        echo "needs g++ $gcc_needed or clang++ $clang_needed, found" \
            "g++ ${found_gcc:-none} and clang++ ${found_clang:-none}"
    fi
}

case ${1-} in
describe) printf '{"impl": "tachyon", "skipped": "%s"}\n' "$(why)" ;;
*) printf '{"unsupported": "%s"}\n' "$(why)" ;;
esac
