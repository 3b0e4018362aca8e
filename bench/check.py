#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py - what has become slower since the history.

usage: check.py [add] [--results FILE] [--history DIR]

Compares Aether's rows of the last results with earlier commits on the same machine, bench/history/FINGERPRINT.jsonl;
exit status 1 if something is slower by more than its noise. `check.py add` puts the rows into the history.

All is in floors, so that a machine whose cores have moved apart doesn't look like a change: messages per floor, or for
a latency how many floors its median is.
"""

import argparse
import collections
import json
import os
import pathlib
import signal
import sys

import rows as r

ROOT = pathlib.Path(__file__).resolve().parent.parent

REFERENCE = 8  # commits; the median of so many is what is compared with
AROUND = 2  # values on each side that make a running median: a step in the history is a change, not noise
BAND_MIN = 0.03
BAND_UNKNOWN = 0.10  # with fewer than 2 commits nothing is known of the noise between runs

# One key, compared. `slower` and `faster` are beyond the band; reference is None without a history.
Verdict = collections.namedtuple("Verdict", "key now reference change band slower faster")


# ---- history ----


def own_rows(rows):
    """fingerprint -> {key: row} of Aether's rows that have a figure in floors."""
    found = collections.defaultdict(dict)
    for row in rows:
        if row["impl"] != r.AETHER or not r.is_measured(row) or r.per_floor(row) is None:
            continue
        fingerprint = row.get("machine", {}).get("fingerprint")
        if fingerprint is None or "commit" not in row or "date" not in row:
            raise r.Broken(f"{r.history_key(row)}: the row must have a machine.fingerprint, a commit and a date")
        found[fingerprint][r.history_key(row)] = row
    if not found:
        raise r.Broken("the results hold no row of Aether with a floor: run 'make bench' first")
    return found


def history_line(key, row):
    """The line of a row; Broken if it is one that couldn't be read again."""
    value, low, high = (float(f"{figure:.6g}") for figure in r.per_floor(row))
    line = {"commit": row["commit"], "date": row["date"], "key": key, "msgs_per_floor": value, "min": low, "max": high}
    if "floor_ns" in row:
        line["floor_ns"] = row["floor_ns"]
    try:
        return r.clean_history(line)
    except ValueError as error:
        raise r.Broken(f"{key}: can't go into the history: {error}") from None


def load_history(path):
    return r.load_history(path) if path.exists() else []


def add(rows, directory):
    """Puts the rows into the files of their machines; a later result of a commit takes the place of the earlier one.

    Whoever is stopped in the middle leaves the old file.
    """
    for fingerprint, by_key in own_rows(rows).items():
        path = directory / f"{fingerprint}.jsonl"
        lines = {(line["commit"], line["key"]): line for line in load_history(path)}
        before = len(lines)
        for key, row in by_key.items():
            lines[row["commit"], key] = history_line(key, row)
        directory.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text("".join(json.dumps(line) + "\n" for line in lines.values()), encoding="utf-8")
        os.replace(new, path)
        print(f"{path}: {len(lines) - before} lines added, {len(by_key) - len(lines) + before} replaced")


# ---- comparison ----


def half_spread(value, low, high):
    return (high - low) / 2 / value


def wander(values):
    """The median distance, as a share, of values from the running median of those around them; at least 2 values."""
    distances = []
    for i, value in enumerate(values):
        around = r.median(values[max(0, i - AROUND):i] + values[i + 1:i + 1 + AROUND])
        distances.append(abs(value - around) / around)
    return r.median(distances)


def band_of(now, lines):
    """How far from the reference is still noise, as a share; now is (value, min, max), lines are the history's."""
    measured = [now] + [(line["msgs_per_floor"], line["min"], line["max"]) for line in lines[-REFERENCE:]]
    if len(lines) < 2:
        return max(BAND_UNKNOWN, *(2 * half_spread(*one) for one in measured))
    return max(BAND_MIN, 1.5 * r.median([half_spread(*one) for one in measured]),
               3 * wander([line["msgs_per_floor"] for line in lines]))


def compared(key, row, history):
    """The verdict on a row, by the history's lines of other commits that were taken with as near cores."""
    now = r.per_floor(row)
    lines = [line for line in history
             if line["key"] == key and line["commit"] != row["commit"] and r.same_distance(line, row)]
    if not lines:
        return Verdict(key, now[0], None, None, None, False, False)
    reference = r.median([line["msgs_per_floor"] for line in lines[-REFERENCE:]])
    band = band_of(now, lines)
    change = now[0] / reference - 1
    gain = change if r.higher_is_better(r.main_key(row)) else -change
    return Verdict(key, now[0], reference, change, band, gain < -band, gain > band)


def word_of(verdict):
    if verdict.reference is None:
        return "new"
    return "SLOWER" if verdict.slower else "faster" if verdict.faster else ""


def table(verdicts):
    lines = [["key", "now", "reference", "change", "band", ""]]
    for one in verdicts:
        known = one.reference is not None
        lines.append([one.key, r.three(one.now), r.three(one.reference) if known else "-",
                      r.percent(one.change, sign=True) if known else "-",
                      f"{100 * one.band:.1f} %" if known else "-", word_of(one)])
    return r.columns(lines, {1, 2, 3, 4})


def check(rows, directory):
    """Prints the comparison; returns whether nothing is slower than before."""
    good = True
    for fingerprint, by_key in own_rows(rows).items():
        path = directory / f"{fingerprint}.jsonl"
        history = load_history(path)
        commits = {row["commit"] for row in by_key.values()}
        if not any(line["commit"] not in commits for line in history):
            print(f"no history of other commits on this machine ({path}): nothing to compare with; "
                  "'check.py add' puts these results into it")
            continue
        verdicts = [compared(key, row, history) for key, row in by_key.items()]
        print(f"messages per floor on {fingerprint}, for a latency (rtt, oneway, wakeup) floors, where less is better")
        print("\n".join(table(verdicts)))
        if any(one.reference is None for one in verdicts):
            print("new: no other commit has this key, or only with a floor that differs by more than 50 %: not judged")
        missing = {line["key"] for line in history} - set(by_key)
        if missing:
            print(f"not measured this time: {len(missing)} of the history's keys")
        slower = [one for one in verdicts if one.slower]
        for one in slower:
            print(f"slower: {one.key}: {r.three(one.now)}, was {r.three(one.reference)} "
                  f"({r.percent(one.change, sign=True)}, noise up to {100 * one.band:.1f} %)")
        if not slower:
            print("nothing is slower than its noise explains")
        good = good and not slower
    return good


def main(arguments):
    parser = argparse.ArgumentParser(prog="check.py", allow_abbrev=False,
                                     description="What has become slower since the history.")
    parser.add_argument("word", nargs="?", choices=["add"], help="put the results into the history")
    parser.add_argument("--results", type=pathlib.Path, metavar="FILE", default=ROOT / "build/bench-results.jsonl",
                        help="default: build/bench-results.jsonl")
    parser.add_argument("--history", type=pathlib.Path, metavar="DIR", default=ROOT / "bench/history",
                        help="default: bench/history")
    options = parser.parse_args(arguments)
    try:
        rows = r.load(options.results)
        if options.word == "add":
            add(rows, options.history)
            return 0
        return 0 if check(rows, options.history) else 1
    except r.Broken as error:
        print(f"check.py: {error}", file=sys.stderr)
    except OSError as error:
        print(f"check.py: {options.history}: can't be written: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # check.py | head
    sys.exit(main(sys.argv[1:]))
