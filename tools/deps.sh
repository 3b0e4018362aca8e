#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh {build|demo|test|bench|peers} - installs the Debian packages that are missing for the build, the demo, the
# tests, the benchmarks of Aether alone, or those of Aether and its peers.
#
# What is installed already is not replaced, however it was installed. apt-get is called only if something is missing. If
# it can't install a package without which all but a part works, the script names that part and goes on.
set -u
cd "$(dirname "$0")/.." || exit

missing=()
optional=()
declare -A part=()

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

# want PART PACKAGE PROBE...: as need, but without the package only that part is missing.
want() {
    local package=$2
    part[$package]=$1
    shift 2
    "$@" || installed "$package" || optional+=("$package")
}

need_build() {
    need meson have meson
    need ninja-build have ninja
    need pkg-config have pkg-config
    need libinih-dev library inih
    need libjansson-dev library jansson
    want aether-metrics libmicrohttpd-dev library libmicrohttpd
    want "the screen of aether-cli top" libncurses-dev library ncursesw
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
    for package in $(sed -n 's/^ \* debian: //p' bench/peers/*.cpp | tr ' ' '\n' | sort -u); do
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
    need g++ have g++                      # to compile the headers as C++
    need clang have clang
    need libclang-rt-dev clang_sanitizers
    need clang-format have clang-format
    need clang-tidy have clang-tidy
    need shellcheck have shellcheck
    need mandoc have mandoc
    need valgrind have valgrind # counts instructions
    need binutils have readelf
    need cmake have cmake # to prove that find_package() works
    need spin have spin   # for the models
    want "the tests of alert rules and metrics" prometheus have promtool
    # Only that python3 sees apt's modules.
    want "the tests of OpenMetrics" python3-prometheus-client /usr/bin/python3 -c 'import prometheus_client'
    want "the tests of the screen of aether-cli top" tmux have tmux
    want "the tests of the page of aether-metrics" chromium have chromium
    want "the tests of the page of aether-metrics" fonts-dejavu-core test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
    want "the tests of the completion for zsh" zsh have zsh
    want "the tests of the completion for fish" fish have fish
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

left_out=build/deps-left-out.$1 # the packages that could not be installed last time
[ ${#missing[@]} -gt 0 ] || [ ${#optional[@]} -gt 0 ] || exit 0
[ ${#missing[@]} -gt 0 ] || [ "$(cat "$left_out" 2>/dev/null)" != "${optional[*]}" ] || exit 0

# give_up WHY: ends if something is missing without which nothing works, else names the parts.
give_up() {
    local package
    [ ${#missing[@]} = 0 ] || fail "$1: ${missing[*]} ${optional[*]}"
    for package in "${optional[@]}"; do echo "deps.sh: left out without $package: ${part[$package]}" >&2; done
    echo "deps.sh: $1: ${optional[*]}" >&2
    mkdir -p "${left_out%/*}" && echo "${optional[*]}" >"$left_out"
    exit 0
}

have apt-get || give_up "please install these packages (this isn't a Debian system)"
if [ "$(id -u)" = 0 ]; then
    as_root=(env)
elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo env)
else
    give_up "neither root nor sudo: please have these packages installed"
fi

apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null; }
install() { [ $# = 0 ] || apt install -y --no-install-recommends "$@" >/dev/null; }

# Programs that couldn't be built before can be built now.
done_well() {
    [ ${#optional[@]} = 0 ] || [ ! -f build/build.ninja ] || meson setup --reconfigure build >/dev/null
    exit
}

echo "Installing ${missing[*]} ${optional[*]}"
# The machine may have no package index, or an old one, whose files the mirror has replaced since.
if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && install "${missing[@]}" "${optional[@]}"; then done_well; fi
apt update && install "${missing[@]}" "${optional[@]}" && done_well
install "${missing[@]}" || fail "apt-get could not install: ${missing[*]}"
missing=()
still=()
for package in "${optional[@]}"; do
    install "$package" || still+=("$package")
done
optional=("${still[@]}")
[ ${#optional[@]} = 0 ] || give_up "apt-get could not install"
