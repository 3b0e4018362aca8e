#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# install.sh BUILD - installs a build to $PREFIX (default /usr/local), below $DESTDIR if that is set.
# install.sh BUILD remove - removes the files of the same installation again, and the directories that are empty then.
# Both paths may hold blanks.
set -eu
build=$1
prefix=$(realpath -m -- "${PREFIX:-/usr/local}")
root=
[ -z "${DESTDIR:-}" ] || root=$(realpath -m -- "$DESTDIR")

# Sets the prefix, unless it is that of the build already: a change makes the next build link anew.
present=$(meson introspect "$build" --buildoptions | python3 -c '
import json, sys
print(next(option["value"] for option in json.load(sys.stdin) if option["name"] == "prefix"))')
[ "$prefix" = "$present" ] || meson configure "$build" -Dprefix="$prefix"

if [ "${2:-}" != remove ]; then
    DESTDIR=$root meson install -C "$build" ${NO_REBUILD:+--no-rebuild}
    # The loader finds libraries in /usr/local/lib by its cache.
    if [ -z "$root" ] && [ "$(id -u)" = 0 ]; then ldconfig; fi
    exit
fi

# What an installation of this build would write, from Meson itself. So nothing is removed that it doesn't know.
meson introspect "$build" --installed | ROOT=$root python3 -c '
import json, os, sys
root, removed, directories = os.environ["ROOT"], 0, set()

def pairs(source, target):
    """Files, also those of a directory that is installed as a whole."""
    if os.path.isdir(source):
        for name in os.listdir(source):
            yield from pairs(os.path.join(source, name), os.path.join(target, name))
    else:
        yield target

for source, installed in json.load(sys.stdin).items():
    for path in pairs(source, root + installed):
        if os.path.lexists(path):
            os.unlink(path)
            removed += 1
        directories.add(os.path.dirname(path))
for path in sorted(directories, key=len, reverse=True):
    while "aether" in path[len(root):].split("/"):
        try:
            os.rmdir(path)
        except OSError:
            break
        path = os.path.dirname(path)
print(f"{removed} files removed")'
