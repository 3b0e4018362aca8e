#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# install.sh BUILD - installs a build to $PREFIX (default /usr/local), below $DESTDIR if that is set.
# install.sh BUILD remove - removes the files of the same installation again. Directories that are empty then are
# removed, too, if they are below $DESTDIR, bear the name aether, or weren't there before this build was installed.
# Both paths may hold blanks.
set -eu
build=$1
prefix=$(realpath -m -- "${PREFIX:-/usr/local}")
root=
[ -z "${DESTDIR:-}" ] || root=$(realpath -m -- "$DESTDIR")
made=$build/installed-directories # those that an installation has made, one a line

# Sets the prefix, unless it is that of the build already: a change makes the next build link anew.
present=$(python3 -c '
import json, sys
with open(sys.argv[1]) as options:
    print(next(option["value"] for option in json.load(options) if option["name"] == "prefix"))
' "$build/meson-info/intro-buildoptions.json")
if [ "$prefix" != "$present" ]; then
    meson configure "$build" -Dprefix="$prefix"
    ninja -C "$build" build.ninja >/dev/null # so that the list of files below is that of the new prefix
fi

# What an installation of this build writes, from a list that Meson keeps in each build: so nothing is removed that it
# doesn't know.
files() {
    ROOT=$root python3 -c '
import json, os, sys

def pairs(source, target):
    """Files, also those of a directory that is installed as a whole."""
    if os.path.isdir(source):
        for name in os.listdir(source):
            yield from pairs(os.path.join(source, name), os.path.join(target, name))
    else:
        yield target

for source, installed in json.load(sys.stdin).items():
    for path in pairs(source, os.environ["ROOT"] + installed):
        print(path)' <"$build/meson-info/intro-installed.json"
}

# above: for each path of stdin, the directories that it is in, below $DESTDIR; each once, the innermost first.
above() {
    while IFS= read -r path; do
        while path=${path%/*} && [ "$path" != "$root" ]; do printf '%s\n' "$path"; done
    done | sort -ru
}

if [ "${2:-}" != remove ]; then
    files | above | while IFS= read -r directory; do
        [ -d "$directory" ] || printf '%s\n' "$directory"
    done >>"$made"
    DESTDIR=$root meson install -C "$build" ${NO_REBUILD:+--no-rebuild}
    # The loader finds libraries in /usr/local/lib by its cache.
    if [ -z "$root" ] && [ "$(id -u)" = 0 ]; then ldconfig; fi
    exit
fi

removed=0
while IFS= read -r path; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    rm -f -- "$path"
    removed=$((removed + 1))
done < <(files)
files | above | while IFS= read -r directory; do
    if [ -n "$root" ] || [[ $directory/ == */aether/* ]] || grep -qxFs -- "$directory" "$made"; then
        rmdir -- "$directory" 2>/dev/null || true
    fi
done
echo "$removed files removed"
