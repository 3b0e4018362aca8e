#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-version.py [ROOT] - a test (TAP) that the project's version is written in meson.build and in no other file that
would become stale: neither in comments nor in pages, tests and scripts. The macros of <aether/error.h>, which programs
compare while they are compiled, must be equal to it.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()

# Files that tell of the past, and lists of other projects' versions.
OTHERS = re.compile(r"^(CHANGELOG\.md|LICENSE|tests/checkers\.py|tools/check-version\.py|meson\.build|bench/history/|bench/peers/|docs/benchmarks/|docs/benchmarks\.md|docs/decisions\.md"
                    r"|models/loom/Cargo\.|.*\.(png|svg|ico)$)")
# A version of three numbers from 0.1.0 on, or of two behind the project's name. Not in an address such as 10.0.1.2.
VERSION = re.compile(r"(?<![\w.])0\.[1-9][0-9]*\.[0-9]+(?![\w.]*[0-9])|\b[Aa](?:ether|ETHER)[\w-]*[ _]v?0\.[1-9][0-9]?(?![0-9])")
OTHER_PROJECT = re.compile(r"libmicrohttpd|prometheus|version=0\.|iceoryx|loom", re.I)


def project_version():
    return re.search(r"^  version: '([0-9.]+)',$", (ROOT / "meson.build").read_text(), re.M)[1]


def header_version():
    text = (ROOT / "include/aether/error.h").read_text()
    return ".".join(re.search(rf"^#define AETHER_VERSION_{part} ([0-9]+)$", text, re.M)[1] for part in ("MAJOR", "MINOR", "PATCH"))


def files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return listed.stdout.split("\n")[:-1]
    return [str(path.relative_to(ROOT)) for top in ("cmd", "data", "demo", "docs", "examples", "include", "man", "src", "tests", "tools")
            for path in sorted((ROOT / top).rglob("*")) if path.is_file()]


def stale():
    """file:line: text, for each version that is written out."""
    for name in files():
        path = ROOT / name
        if OTHERS.match(name) or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if VERSION.search(line) and not OTHER_PROJECT.search(line):
                yield f"{name}:{number}: {line.strip()[:100]}"


def main():
    print("1..2")
    versions = project_version(), header_version()
    print(f"{'ok' if versions[0] == versions[1] else 'not ok'} 1 - meson.build and aether/error.h have one version: {' and '.join(versions)}")
    found = list(stale())
    print(f"{'not ok' if found else 'ok'} 2 - no other file has a version of its own")
    for text in found:
        print("#", text)
    return 0 if not found and versions[0] == versions[1] else 1


sys.exit(main())
