# SPDX-License-Identifier: Apache-2.0
"""table.py - the command line of both run.py: chooses rows of a table, runs them side by side, and prints the results.

A row is a tuple that begins with (model, name) and ends with (what is expected, part of --smoke).
"""

import argparse
import concurrent.futures
import shutil
import sys
import time


def name_of(row):
    return f"{row[0]}/{row[1]}"


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parser(description):
    """The options that both programs have; a program adds its own before parse()."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--smoke", action="store_true", help="only the quick part")
    options.add_argument("--list", action="store_true", help="print the runs and stop")
    options.add_argument("--tap", action="store_true", help="print TAP")
    options.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at a time (default 1)")
    return options


def parse(options, table):
    """Returns the arguments and the rows that they choose. Ends the program if there are none."""
    options.add_argument("names", nargs="*", metavar="MODEL[/NAME]", help="what to run (default: all)")
    arguments = options.parse_args()
    for word in arguments.names:
        if not any(word in (row[0], name_of(row)) for row in table):
            sys.exit(f"run.py: no run is called '{word}': use a model, or MODEL/NAME as --list prints them")
    chosen = [row for row in table if row[-1] or not arguments.smoke]
    if arguments.names:
        chosen = [row for row in chosen if {row[0], name_of(row)} & set(arguments.names)]
    if not chosen:
        sys.exit("run.py: nothing to run: none of these is part of --smoke")
    return arguments, chosen


def require(programs, packages):
    """Ends the program if one of these programs isn't installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        sys.exit(f"run.py: {' and '.join(missing)} must be installed (Debian: apt-get install {packages})")


def print_rows(chosen, note):
    """--list. note(row): what else there is to say about it."""
    for row in chosen:
        print(f"{name_of(row):<24} {row[-2]:<10} {'smoke' if row[-1] else '':<6} {note(row)}".rstrip())


def run_rows(chosen, arguments, unit, run):
    """
    Runs all rows, prints a line for each as it ends, and returns the program's exit code. run(row) returns (None or what
    is wrong, how many, seconds); unit says of what there were so many.
    """
    if arguments.tap:
        print(f"1..{len(chosen)}", flush=True)
    else:
        print(f"{'run':<24} {'expected':<10} {unit:>10} {'seconds':>8}  result", flush=True)
    failed = 0
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (row, (error, count, seconds)) in enumerate(zip(chosen, pool.map(run, chosen)), 1):
            failed += error is not None
            if arguments.tap:
                print(f"{'not ok' if error else 'ok'} {number} - {name_of(row)}: {row[-2]}, {count} {unit}", flush=True)
                for line in (error or "").splitlines():
                    print(f"# {line}", flush=True)
            else:
                result = "PASS" if error is None else f"FAIL: {error}"
                print(f"{name_of(row):<24} {row[-2]:<10} {count:>10} {seconds:>8.1f}  {result}", flush=True)
    if not arguments.tap:
        print(f"{len(chosen) - failed} passed, {failed} failed, {time.monotonic() - start:.0f} seconds")
    return 1 if failed else 0
