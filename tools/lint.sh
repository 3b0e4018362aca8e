#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh - formatting, clang-tidy and shellcheck over the whole tree.
set -u
cd "$(dirname "$0")/.." || exit
status=0

sources() { find include src cmd examples demo tests fuzz bench -name '*.[ch]' -print0; }

echo "clang-format"
sources | xargs -0 -r clang-format --dry-run -Werror || status=1

echo "columns"
# clang-format leaves comments alone.
if sources | LC_ALL=C.UTF-8 xargs -0 grep -nE '.{121}' | grep .; then
    status=1
fi

echo "shellcheck"
{
    find bench demo examples tests tools -name '*.sh' -print0
    printf '.ci/run\0'
} | xargs -0 shellcheck -x || status=1

echo "clang-tidy"
# clang-tidy uses the commands of a clang build, because clang doesn't know all options of gcc.
[ -f build-clang/build.ninja ] || CC=clang meson setup build-clang -Dtests=enabled >/dev/null || exit
find src cmd examples demo -name '*.c' -print0 | xargs -0 -r -n 1 -P "$(nproc)" clang-tidy --quiet -p build-clang 2>/dev/null || status=1

exit $status
