#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# package.sh - the installed files work: with a compiler through pkg-config, with CMake, and with the loader.
set -u

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
log=$scratch/log
number=0

# check NAME COMMAND...: a case that passes if the command does.
check() {
    number=$((number + 1))
    local name="$number - $1"
    shift
    if "$@" >"$log" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/# /' "$log"
    fi
}

echo "1..23"
# The prefix of this build stays: another one would link it anew, for the tests that run meanwhile.
real=$(sed 's/.*"name": "prefix", "value": "\([^"]*\)".*/\1/' "$BUILD/meson-info/intro-buildoptions.json")
install() { # DESTDIR [remove]
    NO_REBUILD=1 PREFIX=$real DESTDIR=$1 "$SOURCE/tools/install.sh" "$BUILD" ${2:+"$2"}
}
check "installs below DESTDIR" install "$root"

so=$(find "$root" -name 'libaether.so.*' -type l)
libdir=${so%/*}
prefix=${libdir%/*}
export LD_LIBRARY_PATH=$libdir
export PKG_CONFIG_PATH=$libdir/pkgconfig

# Before 1.0 each minor version has an interface of its own.
minor=$(pkg-config --modversion aether | cut -d. -f1,2)
other=${minor%.*}.$((${minor#*.} + 1))

cat >"$scratch/consumer.c" <<'END'
#include <aether/aether.h>
#include <stdio.h>

int main(void) {
    return printf("aether %s%s\n", aether_version(), aether_errmsg()) < 0;
}
END
cat >"$scratch/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.18)
project(consumer C)
find_package(aether $minor REQUIRED CONFIG)
add_executable(shared consumer.c)
target_link_libraries(shared aether::aether)
add_executable(static consumer.c)
target_link_libraries(static aether::aether_static)
END

flags() { pkg-config --define-variable=prefix="$prefix" "$@" aether; }
greets() { "$1" | tee /dev/stderr | grep -qx "aether $(flags --modversion)"; }
# Before 1.0 also the loader keeps programs apart that were compiled for another minor version.
needs_libaether() { readelf -d "$1" | grep -qF "NEEDED" && readelf -d "$1" | grep -qF "[libaether.so.$minor]"; }

# shellcheck disable=SC2046
from_pkg_config() {
    cc "$scratch/consumer.c" $(flags --cflags --libs) -o "$scratch/shared" && needs_libaether "$scratch/shared" &&
        greets "$scratch/shared"
}
# shellcheck disable=SC2046
from_pkg_config_static() {
    cc -static "$scratch/consumer.c" $(flags --static --cflags --libs) -o "$scratch/static" && greets "$scratch/static"
}
cmake_builds() {
    cmake -S "$scratch" -B "$scratch/cmake" -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$scratch/cmake"
}
cmake_shared() { needs_libaether "$scratch/cmake/shared" && greets "$scratch/cmake/shared"; }
cmake_static() { ! needs_libaether "$scratch/cmake/static" && greets "$scratch/cmake/static"; }
cmake_refuses_other_version() {
    sed -i "s/find_package(aether $minor/find_package(aether $other/" "$scratch/CMakeLists.txt"
    ! cmake -S "$scratch" -B "$scratch/cmake-other" -DCMAKE_PREFIX_PATH="$prefix"
}

# The loader may be needed, too, because of thread-local storage.
libc_only() {
    readelf -d "$so"
    ! readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux.*)$'
}
exports() { nm -D --defined-only --with-symbol-versions "$so" | awk '$2 != "A" { print $3 }'; }
exports_api_only() {
    exports | grep -q . && ! exports | grep -vE "^aether_[a-z0-9_]+@@AETHER_${minor/./\\.}\$"
}
# A static library has no version script. Internal names have a prefix, so that they don't clash with a program's names.
static_names() {
    ! nm -g --defined-only "$libdir/libaether.a" | awk 'NF == 3 { print $3 }' | grep -vE '^(aether_|ae_)'
}
headers_complete() { diff -r "$SOURCE/include/aether" "$prefix/include/aether"; }
cli_runs() { "$prefix/bin/aether-cli" --help; }

check "pkg-config: shared" from_pkg_config
check "pkg-config: static" from_pkg_config_static
check "CMake builds" cmake_builds
check "CMake: aether::aether" cmake_shared
check "CMake: aether::aether_static" cmake_static
check "CMake refuses another minor version" cmake_refuses_other_version
check "libaether.so needs libc only" libc_only
check "libaether.so exports the API only, versioned" exports_api_only
check "libaether.a defines prefixed names only" static_names
check "the installed headers are those of the tree" headers_complete
check "aether-cli runs" cli_runs
check "the table of messages is there" cmp "$SOURCE/docs/messages.md" "$prefix/share/doc/aether/messages.md"

# Every example of C that needs nothing else, as somebody would compile it who has the package only.
examples_build() {
    local file
    for file in "$prefix"/share/doc/aether/examples/*.c; do
        case $file in */uv.c) continue ;; esac
        # shellcheck disable=SC2046
        "${CC:-cc}" -Wall -Wextra -Werror "$file" -o "$scratch/example" $(flags --cflags --libs) || return
    done
}
check "installed examples compile" examples_build

# With warnings on that a user of C++ may have on. clang also warns inside of extern "C".
headers_clean() {
    local header compiler
    for header in "$prefix"/include/aether/*.h; do
        echo "#include <aether/${header##*/}>" >"$scratch/header.cpp"
        for compiler in "${CXX:-c++}" clang++; do
            command -v "$compiler" >/dev/null || continue
            "$compiler" -std=c++17 -fsyntax-only -Wall -Wextra -Wpedantic -Wold-style-cast -Wconversion \
                -Wsign-conversion -Wshadow -Wcast-align -Wcast-qual -Wzero-as-null-pointer-constant -Werror \
                -I"$prefix/include" "$scratch/header.cpp" || return
        done
    done
}
check "headers are clean under strict warnings of C++" headers_clean

# The functions that the library exports and that aren't for the headers' own use.
man_pages() {
    local name missing=0
    for name in $(exports | sed 's/@.*//' | grep -v '^aether_detail_'); do
        [ -f "$prefix/share/man/man3/$name.3" ] || { echo "no page for $name"; missing=1; }
    done
    for name in man1/aether-cli.1 man5/aetherd.conf.5 man8/aetherd.8 man7/aether.7 man3/aether.3; do
        grep -qxF ".Os Aether $(flags --modversion)" "$prefix/share/man/$name" || { echo "no version in $name"; missing=1; }
    done
    [ -f "$prefix/share/man/man3/aether_publish.3" ] && [ "$missing" = 0 ]
}
check "there is a page of manual for each function, and each page has the version" man_pages

completions() {
    [ -f "$prefix/share/bash-completion/completions/aether-cli" ] && [ -f "$prefix/share/zsh/site-functions/_aether-cli" ] &&
        [ -f "$prefix/share/fish/vendor_completions.d/aether-cli.fish" ]
}
check "completions are where the shells look for them" completions

remove_all() {
    local other="$scratch/with blanks/and more"
    install "$other" && [ "$(find "$other" -type f | wc -l)" = "$(find "$root" -type f | wc -l)" ] || return
    touch "$other$real/include/aether/mine.h" && install "$other" remove || return
    find "$other" -type f
    [ "$(find "$other" -type f)" = "$other$real/include/aether/mine.h" ] || return
    rm "$other$real/include/aether/mine.h" && install "$other" && install "$other" remove || return
    find "$other"
    [ "$(find "$other")" = "$other" ]
}
check "a DESTDIR with blanks; everything is removed again, and nothing else" remove_all

# A build of its own, because a PREFIX is a setting of the build. Its compiler takes each object from the build under
# test, where it has the same name: to compile all again would take a minute, and shows nothing. All else is done again:
# what is generated, the links, and the installation.
blank="$scratch/a prefix"
cat >"$scratch/cc" <<'END'
#!/bin/bash
for ((i = 1; i < $#; i++)); do
    next=$((i + 1))
    [[ ${!i} = -o && ${!next} = *.o && -f $BUILD/${!next} ]] && exec cp "$BUILD/${!next}" "${!next}"
done
exec cc "$@"
END
chmod +x "$scratch/cc"
build_elsewhere() {
    CC=$scratch/cc meson setup "$scratch/a build" "$SOURCE" -Dtests=disabled && ninja -C "$scratch/a build"
}
elsewhere() { env -u DESTDIR PREFIX="$blank" "$SOURCE/tools/install.sh" "$scratch/a build" "$@"; }
install_elsewhere() {
    mkdir "$blank" && elsewhere && env -u LD_LIBRARY_PATH "$blank/bin/aether-cli" --version
}
compile_elsewhere() {
    local flags
    flags=$(PKG_CONFIG_PATH="$blank/lib/pkgconfig" pkg-config --cflags --libs aether) || return
    eval "cc '$scratch/consumer.c' -o '$scratch/spaced' $flags" && LD_LIBRARY_PATH="$blank/lib" "$scratch/spaced" &&
        cmake -S "$scratch" -B "$scratch/cmake spaced" -DCMAKE_PREFIX_PATH="$blank" && cmake --build "$scratch/cmake spaced" &&
        "$scratch/cmake spaced/shared"
}
remove_elsewhere() {
    elsewhere remove && find "$blank" && [ "$(find "$blank")" = "$blank" ]
}
check "a build directory with blanks" build_elsewhere
check "a PREFIX with blanks" install_elsewhere
sed -i "s/find_package(aether $other/find_package(aether $minor/" "$scratch/CMakeLists.txt"
check "a PREFIX with blanks: pkg-config and CMake" compile_elsewhere
check "a PREFIX with blanks: a directory that was there stays, and is empty again" remove_elsewhere
rmdir "$blank"
remove_made() { elsewhere && elsewhere remove && [ ! -e "$blank" ]; }
check "a PREFIX that wasn't there is gone again" remove_made
