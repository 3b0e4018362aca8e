#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slice.py DIRECTORY [no-]SUITE [check] - builds what the tests of one suite need, or, with no-, what all others need.

check: lets the compiler check all other sources, for a build whose compiler is to warn about all code, but of which only
some tests are run: to check a source takes a third of the time that it takes to compile it. Exit status 1 if something
doesn't build, or if there is a warning and the build has -Dwerror=true.
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys


def inputs(directory, files):
    """The objects of which ninja makes these files."""
    said = subprocess.run(["ninja", "-C", str(directory), "-t", "inputs", *files], stdout=subprocess.PIPE, text=True, check=True)
    return set(said.stdout.split("\n"))


def targets(directory, suite):
    """The files that ninja must build for the tests of the suite, or with no- for the others."""
    tests = json.loads((directory / "meson-info/intro-tests.json").read_text())
    files = {t["id"]: t["filename"] for t in json.loads((directory / "meson-info/intro-targets.json").read_text())}
    chosen = [test for test in tests if (f"aether:{suite.removeprefix('no-')}" in test["suite"]) != suite.startswith("no-")]
    wanted = {name for test in chosen for name in test["depends"]}
    return sorted(os.path.relpath(file, directory.resolve()) for name in wanted for file in files[name])


def check(entry):
    """Compiles a source without an output. Returns what the compiler said, and whether it was content."""
    words = shlex.split(entry["command"])
    for option, count in (("-o", 2), ("-MF", 2), ("-MQ", 2), ("-MD", 1)):
        if option in words:
            at = words.index(option)
            del words[at:at + count]
    done = subprocess.run([*words, "-fsyntax-only"], cwd=entry["directory"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout, done.returncode == 0


def main():
    directory, suite, checks = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:] == ["check"]
    if subprocess.run(["ninja", "-C", str(directory), "--quiet", "build.ninja"], check=False).returncode:
        return 1
    entries = json.loads((directory / "compile_commands.json").read_text())
    generated = [entry["file"] for entry in entries if not entry["file"].startswith("..")]
    made = [*targets(directory, suite), *generated]
    if subprocess.run(["ninja", "-C", str(directory), "--quiet", *made], check=False).returncode:
        return 1
    if not checks:
        return 0
    # An object may be there of an earlier build of everything, and then ninja doesn't keep it up to date.
    compiled = inputs(directory, made)
    others = [entry for entry in entries if entry["output"] not in compiled]
    good = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for said, well in pool.map(check, others):
            print(said, end="", flush=True)
            good = good and well
    return 0 if good else 1


sys.exit(main())
