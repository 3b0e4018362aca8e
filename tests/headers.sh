#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# headers.sh - every public header compiles on its own, as strict C11 and as C++11 to C++20, with gcc and clang.
set -u
cd "${SOURCE:-$(dirname "$0")/..}" || exit

mapfile -t headers < <(cd include && find aether -name '*.h' | sort)
languages=("gcc c c11" "clang c c11" "g++ c++ c++11" "clang++ c++ c++17" "g++ c++ c++20")

echo "1..$((${#headers[@]} * ${#languages[@]}))"
number=0
for entry in "${languages[@]}"; do
    read -r compiler language standard <<<"$entry"
    for header in "${headers[@]}"; do
        number=$((number + 1))
        name="$number - $compiler -std=$standard <$header>"
        if ! command -v "$compiler" >/dev/null; then
            echo "ok $name # SKIP no $compiler"
        # Included twice, to test the include guard.
        elif errors=$(printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$header" "$header" |
            "$compiler" -x "$language" -std="$standard" -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -c -o /dev/null - 2>&1); then
            echo "ok $name"
        else
            echo "not ok $name"
            while read -r line; do echo "# $line"; done <<<"$errors"
        fi
    done
done
