#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tally.py NAME:DIRECTORY[:[no-]SUITE] ... - adds up the cases that the tests of several builds reported.

SUITE: the log of the build must have exactly the tests of this suite; with no-, exactly the others. NAME:!TEXT stands for
a build that failed; TEXT says why. A unit or TAP test that reported no case counts as one failed case, and so does a
build without a log. The last line is "N passed, N failed[, N skipped]". Exit status 1 if anything failed.
"""

import json
import pathlib
import re
import sys

CMOCKA = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.MULTILINE),
    "failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.MULTILINE),
    "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.MULTILINE),
}
TAP_CASE = re.compile(r"^(ok|not ok)\b(?:.*?# *(SKIP)\b)?", re.MULTILINE | re.IGNORECASE)
TAP_SKIP_ALL = re.compile(r"^1\.\.0 *# *SKIP", re.MULTILINE | re.IGNORECASE)
SKIP = 77  # exit status
# What a failed case says about itself: the line of the verdict, and the comments (TAP) or errors (cmocka) that follow it.
REASON = re.compile(r"^(?:not ok\b.*(?:\n *#.*)*|.*\[  ERROR   \].*(?:\n\[   LINE.*)?)", re.MULTILINE | re.IGNORECASE)
REASONS_MAX = 3


def cmocka_cases(output):
    counts = {kind: sum(map(int, pattern.findall(output))) for kind, pattern in CMOCKA.items()}
    return counts["passed"], counts["failed"], counts["skipped"]


def tap_cases(output):
    passed = failed = 0
    skipped = len(TAP_SKIP_ALL.findall(output))
    for verdict, skip in TAP_CASE.findall(output):
        if skip:
            skipped += 1
        elif verdict.lower() == "ok":
            passed += 1
        else:
            failed += 1
    return passed, failed, skipped


def cases(entry, protocol, is_unit):
    """(passed, failed, skipped, why) of one test in meson's log."""
    stdout = entry.get("stdout") or ""
    if entry["returncode"] == SKIP:
        return 0, 0, 1, None
    if protocol == "tap":
        passed, failed, skipped = tap_cases(stdout)
    elif is_unit:
        passed, failed, skipped = cmocka_cases(stdout + "\n" + (entry.get("stderr") or ""))
    else:  # a command is one case, and its exit status is the verdict
        passed, failed, skipped = int(entry["result"] == "OK"), int(entry["result"] != "OK"), 0
    if passed + failed + skipped == 0:
        return 0, 1, 0, f"reported no case (exit status {entry['returncode']})"
    # A crash or a finding of a sanitizer after the last case, which passed.
    if entry["result"] not in ("OK", "SKIP") and failed == 0:
        return passed, 1, skipped, f"{entry['result']} (exit status {entry['returncode']})"
    return passed, failed, skipped, None


def reasons(entry):
    """What the failed cases say, so that the end of a long output suffices to see what is wrong."""
    return REASON.findall((entry.get("stdout") or "") + "\n" + (entry.get("stderr") or ""))


def in_slice(test, suite):
    """Was the test to be run with this SUITE?"""
    return suite == "" or (f"aether:{suite.removeprefix('no-')}" in test["suite"]) != suite.startswith("no-")


def build_totals(directory, suite):
    directory = pathlib.Path(directory)
    tests = json.loads((directory / "meson-info/intro-tests.json").read_text())
    wanted = sum(in_slice(test, suite) for test in tests)
    # meson names a test "suite / name" in its log and "name" in its introspection data.
    protocols = {test["name"]: test["protocol"] for test in tests}
    units = {test["name"] for test in tests if "aether:unit" in test["suite"]}
    lines = (directory / "meson-logs/testlog.json").read_text().splitlines()
    totals = [0, 0, 0]
    for entry in map(json.loads, lines):
        name = entry["name"].split(" / ", 1)[-1]
        *counts, why = cases(entry, protocols[name], name in units)
        totals = [total + count for total, count in zip(totals, counts)]
        if counts[1]:
            print(f"  FAILED {directory.name}: {entry['name']}" + (f": {why}" if why else ""))
            for reason in reasons(entry)[:REASONS_MAX]:
                first, *more = reason.splitlines()
                print("".join(f"    {line[:200]}\n" for line in [first] + more[-9:]), end="")
    if len(lines) != wanted:
        print(f"  FAILED {directory.name}: {len(lines)} tests ran, not {wanted}")
        totals[1] += max(1, wanted - len(lines))
    return totals


def main():
    sums = [0, 0, 0]
    table = []
    for argument in sys.argv[1:]:
        name, source = argument.split(":", 1)
        if source.startswith("!"):
            print(f"  FAILED {name}: {source[1:]}")
            totals = [0, 1, 0]
        elif source == "":  # a build whose only purpose was to compile
            totals = [1, 0, 0]
        else:
            try:
                totals = build_totals(*source.partition(":")[::2])
            except (OSError, ValueError, KeyError) as error:
                print(f"  FAILED {name}: no usable test log: {error}")
                totals = [0, 1, 0]
            if sum(totals) == 0:
                print(f"  FAILED {name}: no tests")
                totals = [0, 1, 0]
        table.append((name, totals))
        sums = [a + b for a, b in zip(sums, totals)]
    for name, (passed, failed, skipped) in table:
        print(f"  {name:<32} {passed:5} passed {failed:5} failed {skipped:5} skipped")
    passed, failed, skipped = sums
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


sys.exit(main())
