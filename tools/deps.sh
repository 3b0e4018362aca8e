#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh {build|demo|test|bench|peers} - installs the Debian packages that are missing for the build, the demo, the
# tests, the benchmarks of Aether alone, or those of Aether and its peers.
#
# What is installed already is not replaced, however it was installed. apt-get is called only if something is missing.
set -u

missing=()

have() { command -v "$1" >/dev/null 2>&1; }
library() { pkg-config --exists "$1" 2>/dev/null; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
rust() { # new enough for the models' harness
    local version
    have cargo && version=$(rustc --version 2>/dev/null) && [[ $version =~ ^rustc\ 1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 85))
}
clang_sanitizers() { echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c - -o /dev/null 2>/dev/null; }

# need PACKAGE PROBE...: notes the package as missing unless the probe succeeds or the package is installed.
need() {
    local package=$1
    shift
    "$@" || installed "$package" || missing+=("$package")
}

need_build() {
    need meson have meson
    need ninja-build have ninja
    need pkg-config have pkg-config
    need libinih-dev library inih
    need libjansson-dev library jansson
    need libmicrohttpd-dev library libmicrohttpd # for aether-metrics
    need libncurses-dev library ncursesw # for the screen of aether-cli top
}

# The demo downloads a data set from PyPI.
need_demo() {
    need_build
    need python3 have python3
    need python3-pip python3 -m pip --version >/dev/null 2>&1
    need unzip have unzip
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
}

need_bench() {
    need_build
    need python3 have python3
    need g++ have g++
}

# Each adapter names the Debian package of its library. The other libraries come from the registries of Rust and Java.
need_peers() {
    local package
    need_bench
    for package in $(sed -n 's/^ \* debian: //p' "$(dirname "$0")"/../bench/peers/*.cpp | tr ' ' '\n' | sort -u); do
        need "$package" false
    done
    need util-linux have taskset
    need default-jdk-headless have javac
    need maven have mvn
    need cargo-web rust
    need rustc-web rust
}

need_test() {
    need_build
    need python3 have python3
    need libcmocka-dev library cmocka
    need libseccomp-dev library libseccomp # to prove that the hot path makes no system call
    need libuv1-dev library libuv          # for an example
    need prometheus have promtool          # for aether-metrics
    need python3-prometheus-client false   # for aether-metrics; seen by /usr/bin/python3 only
    need chromium have chromium            # for the page of aether-metrics
    need fonts-dejavu-core test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf # for chromium
    need g++ have g++                      # to compile the headers as C++
    need clang have clang
    need libclang-rt-dev clang_sanitizers
    need clang-format have clang-format
    need clang-tidy have clang-tidy
    need shellcheck have shellcheck
    need mandoc have mandoc
    need tmux have tmux # to show aether-cli top on a terminal
    need valgrind have valgrind # counts instructions
    need binutils have readelf
    need cmake have cmake # to prove that find_package() works
    need spin have spin   # for the models
    # For the ring's code under loom. Debian's cargo and rustc are too old, but not those that build its web browsers.
    need cargo-web rust
    need rustc-web rust
}

fail() {
    echo "deps.sh: $*" >&2
    exit 1
}

case ${1-} in
build | demo | test | bench | peers) "need_$1" ;;
*) fail "usage: tools/deps.sh {build|demo|test|bench|peers}" ;;
esac

[ ${#missing[@]} -gt 0 ] || exit 0

have apt-get || fail "please install these packages (this isn't a Debian system): ${missing[*]}"
if [ "$(id -u)" = 0 ]; then
    as_root=(env)
elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo env)
else
    fail "neither root nor sudo: please have these packages installed: ${missing[*]}"
fi

apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null; }
install() { apt install -y --no-install-recommends "${missing[@]}" >/dev/null; }

echo "Installing ${missing[*]}"
# The machine may have no package index, or an old one, whose files the mirror has replaced since.
if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || ! install; then
    if ! apt update || ! install; then
        fail "apt-get could not install: ${missing[*]}"
    fi
fi
