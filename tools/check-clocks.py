#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-clocks.py [ROOT] - a test (TAP): only what is printed or stored as a date comes from CLOCK_REALTIME.

Somebody may set that clock at any time, so no duration may come from it. Each function that reads it is in the list
below, with the reason. Functions that read CLOCK_MONOTONIC are free.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()

# {file: {function: what the time of day is for}}
ALLOWED = {
    "cmd/aether-cli/signals.c": {"cli_realtime_ns": "sub --timestamps"},
    "src/base/clock.c": {"ae_realtime_ns": "reads it"},
    "src/broker/adopt.c": {"ae_adopt": "the registry's started_ns"},
    "src/broker/clients.c": {"ae_clients_add": "the registry's created_ns"},
    "src/broker/topics.c": {"fill_record": "the registry's created_ns"},
    "src/broker/totals.c": {"sum_up": "left_ns in the totals"},
    "src/client/metrics.c": {"aether_metrics_begin": "now_ns, the date of a pass"},
    "src/client/metrics_topic.c": {"note_close": "left_ns, a date"},
    "src/export/reader.c": {"ae_reader_open": "the date of the program's start"},
    "src/service/log.c": {"format_line": "dates in the log"},
    "src/shm/registry.c": {"ae_registry_create": "the registry's started_ns"},
}

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
CLOCK = re.compile(r"\bae_realtime_ns\b|\bCLOCK_REALTIME(?:_COARSE)?\b|\bgettimeofday\b|(?<![\w.>])time\s*\(\s*(?:NULL|&)")
DEFINITION = re.compile(r"^(?!typedef)[A-Za-z_][^\n;={}]*?\b([a-z_][a-z_0-9]*)\([^;{}]*\)\s*\{$", re.MULTILINE)


def without_comments(text):
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def uses(text):
    """[(function, line)] that read the time of day."""
    text = without_comments(text)
    starts = [(m.start(), m.group(1)) for m in DEFINITION.finditer(text)]
    for m in CLOCK.finditer(text):
        inside = [name for at, name in starts if at <= m.start()]
        yield inside[-1] if inside else "", text.count("\n", 0, m.start()) + 1


def main():
    errors, found = [], {}
    for directory in ("src", "cmd"):
        for path in sorted((ROOT / directory).rglob("*.c")):
            if re.search(r"_test$", path.stem) or "bench" in path.parts:
                continue
            name = path.relative_to(ROOT).as_posix()
            for function, line in uses(path.read_text()):
                found.setdefault(name, set()).add(function)
                if function not in ALLOWED.get(name, {}):
                    errors.append(f"{name}:{line}: {function}() reads the time of day: use ae_now_ns() for durations, "
                                  f"or say in {pathlib.Path(__file__).name} what the date is for")
    gone = [f"{name}: {function}() doesn't read the time of day any more"
            for name, functions in ALLOWED.items() for function in functions if function not in found.get(name, ())]
    print("1..2")
    for number, (title, wrong) in enumerate((("only dates come from the time of day", errors),
                                             ("the list has nothing else", gone)), 1):
        for line in wrong:
            print("#", line)
        print("not ok" if wrong else "ok", number, "-", title)
    return 1 if errors or gone else 0


if __name__ == "__main__":
    sys.exit(main())
