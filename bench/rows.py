# SPDX-License-Identifier: Apache-2.0
"""Rows of build/bench-results.jsonl: loading them, telling which belong together, and numbers as people read them.

Whoever wrote a file may have been stopped in the middle of a line, or mean ill. So nothing leaves clean() that wasn't
checked: numbers are finite and within bounds, text has no control characters, and no other keys are kept.
"""

import collections
import json
import math
import re
import statistics
import unicodedata

LINE_MAX = 16 << 20  # bytes; a histogram of a long run has about 10000 entries of 15 bytes
TEXT_MAX = 400  # characters that are kept of a free text
NUMBER_MAX = 1e18
NUMBER_MIN = 1e-9  # of what something is divided by
FAR = 1.5  # floors that differ by more are of cores at different distances: figures beside them don't compare

AETHER = "aether"
FINGERPRINT = re.compile(r"[0-9a-f]{8}")
IMPL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,79}")
DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)

# Each case, in the order of the report, and the figures of which a measured row has at least one. The first one that it
# has is what it is ranked by.
CASES = {
    "throughput": ("msgs_per_s",),
    "rtt": ("p50_ns",),
    "oneway": ("p50_ns",),
    "wakeup": ("p50_ns",),
    "publishers": ("msgs_per_s",),
    "fanout": ("msgs_per_s",),
    "topics": ("msgs_per_s", "open_ns"),
    "join": ("p50_ns",),
    "idle": ("cpu",),
    "oversubscribed": ("msgs_per_s", "p50_ns"),
    "instructions": ("instructions",),
}
PEER = "peer"  # the case of a row that says why a whole peer is missing
# Where the way to wait is part of what is measured; elsewhere an implementation has one row a cell, with its best one.
WAIT_MATTERS = ("wakeup", "idle", "oversubscribed")
HOWS = ("single", "batch", "loan")


class Broken(Exception):
    """Input that can't be used. Its text is one line: where, what, and what would be right."""


# ---- one value ----


def plain(text):
    """Free text as one line: a terminal, a table or an SVG must not obey what is in it."""
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 4 * TEXT_MAX])
    text = " ".join(text.split())
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def a_text(value):
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return plain(value)


def a_word(pattern, right):
    def check(value):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {right}")
        return value
    return check


def one_of(*words):
    return a_word(re.compile("|".join(words)), "one of " + ", ".join(words))


def a_count(value):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MAX:
        raise ValueError("must be a whole number from 0 to 10^18")
    return value


def an_amount(value):
    if not is_number(value) or not 0 <= value <= NUMBER_MAX:
        raise ValueError("must be a number from 0 to 10^18")
    return float(value)


def a_figure(value):
    """A number that something is divided by."""
    if not is_number(value) or not NUMBER_MIN <= value <= NUMBER_MAX:
        raise ValueError("must be a number above 0, at most 10^18")
    return float(value)


def a_list(check):
    def check_all(value):
        if not isinstance(value, list):
            raise ValueError("must be an array")
        return [check(item) for item in value]
    return check_all


def a_histogram(value):
    """[[ns, count], ...] by rising ns."""
    if not isinstance(value, list):
        raise ValueError("must be an array of [ns, count]")
    pairs, last = [], -1.0
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("must be an array of [ns, count]")
        ns, count = an_amount(pair[0]), a_count(pair[1])
        if ns <= last:
            raise ValueError("must be sorted by rising ns")
        pairs.append((ns, count))
        last = ns
    return pairs


def a_machine(value):
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    machine = {}
    for key in ("cpu", "l2", "l3", "kernel", "compiler"):
        if value.get(key) is not None:
            machine[key] = a_text(value[key])
    if value.get("cores") is not None:
        machine["cores"] = a_count(value["cores"])
    if value.get("fingerprint") is not None:
        machine["fingerprint"] = a_word(FINGERPRINT, "8 hex digits as its fingerprint")(value["fingerprint"])
    return machine


def keys(check, *names):
    return {name: check for name in names}


a_commit = a_word(COMMIT, "a commit's name")
a_date = a_word(DATE, "a date like 2026-11-25T05:00:00Z")
KEYS = {
    **keys(a_text, "name", "settings", "version", "unsupported", "failed", "skipped", "op", "compiler", "wait"),
    **keys(a_word(IMPL, "a word of letters, digits and ._+-"), "impl"),
    **keys(one_of(*HOWS), "how"),
    **keys(one_of("equal", "best"), "ring"),
    **keys(one_of("threads", "processes"), "between"),
    **keys(a_count, "size", "batch", "capacity", "ring_bytes", "publishers", "subscribers", "topics", "lost",
           "discarded"),
    **keys(an_amount, "foreign_cpu", "cpu", "bytes_each", "max_ns", "msgs_per_s_min", "msgs_per_s_max",
           "msgs_per_floor", "msgs_per_floor_min", "msgs_per_floor_max", "p50_ns_min", "p50_ns_max"),
    **keys(a_figure, "rate", "load", "msgs_per_s", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "floor_ns", "floor_best_ns",
           "floor_paused_ns", "open_ns", "instructions"),
    **keys(a_list(an_amount), "runs"),
    **keys(a_list(a_text), "lacks", "warnings"),
    **keys(a_histogram, "hist"),
    **keys(a_commit, "commit"),
    **keys(a_date, "date"),
    **keys(a_machine, "machine"),
}


# ---- a line, a file ----


def checked(row, checks):
    """The known keys of an object that is on a line, each checked; null is as good as nothing."""
    if not isinstance(row, dict):
        raise ValueError("must be a JSON object")
    found = {}
    for key, check in checks.items():
        if row.get(key) is None:
            continue
        try:
            found[key] = check(row[key])
        except ValueError as error:
            raise ValueError(f'"{key}" {error}') from None
    return found


def clean(row):
    """The row, checked; None for a case that isn't known here. Raises ValueError with what would be right."""
    if not isinstance(row, dict):
        raise ValueError("must be a JSON object")
    case = row.get("case")
    if not isinstance(case, str):
        raise ValueError('"case" must be a string')
    if case not in CASES and case != PEER:
        return None
    found = {"case": case, **checked(row, KEYS)}
    if "impl" not in found:
        raise ValueError('"impl" is missing: must be the implementation\'s name')
    if case == PEER:
        if "skipped" not in found:
            raise ValueError('"skipped" is missing: a row of the case "peer" must say why the peer is missing')
        return found
    if "failed" in found:
        found.setdefault("unsupported", "failed: " + found["failed"])
    if "unsupported" in found:
        return found
    if not any(key in found for key in CASES[case]):
        raise ValueError(f'"{CASES[case][0]}" is missing: a row of the case "{case}" must have it, or "unsupported"')
    if case == "instructions" and "op" not in found:
        raise ValueError('"op" is missing: must say what was counted')
    for key in ("msgs_per_s", "msgs_per_floor", "p50_ns"):
        if found.get(f"{key}_min", 0) > found.get(f"{key}_max", NUMBER_MAX):
            raise ValueError(f'"{key}_min" must be at most "{key}_max"')
    restore_per_floor(found)
    return found


def restore_per_floor(row):
    """Large messages are few a floor, and a row may have them with three decimals only: too few to compare them."""
    if "msgs_per_s" not in row or "floor_ns" not in row or row.get("msgs_per_floor", 0) >= 1:
        return
    for end in ("", "_min", "_max"):
        if f"msgs_per_s{end}" in row:
            row[f"msgs_per_floor{end}"] = row[f"msgs_per_s{end}"] * row["floor_ns"] / 1e9
        else:
            row.pop(f"msgs_per_floor{end}", None)


def refuse_constant(word):
    raise ValueError(f"{word} isn't JSON: numbers must be finite")


def read_lines(path, clean_line, hint=""):
    """What clean_line makes of each line of a file; raises Broken with the file and the line's number.

    Reads no more than LINE_MAX bytes at once, whatever the file is.
    """
    found = []
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE_MAX + 1), b""), 1):
                if len(line) > LINE_MAX:
                    raise Broken(f"{path}:{number}: the line is longer than {LINE_MAX} bytes: one JSON object a line")
                if not line.strip():
                    continue
                try:
                    row = clean_line(json.loads(line.decode(), parse_constant=refuse_constant))
                except json.JSONDecodeError as error:
                    raise Broken(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}): "
                                 "must be one JSON object a line") from None
                except UnicodeDecodeError:
                    raise Broken(f"{path}:{number}: not UTF-8: must be one JSON object a line") from None
                except RecursionError:
                    raise Broken(f"{path}:{number}: nested too deeply: must be one JSON object a line") from None
                except ValueError as error:
                    raise Broken(f"{path}:{number}: {plain(str(error))}") from None
                if row is not None:
                    found.append(row)
    except OSError as error:
        raise Broken(f"{path}: can't be read: {error.strerror}{hint}") from None
    return found


def load(path):
    """The rows of a results file; of an implementation's rows for one cell the last one. At least one, or Broken."""
    latest = {}
    for row in read_lines(path, clean, hint="; 'make bench' writes it"):
        key = (row["impl"], cell_of(row), row.get("wait") if row["case"] in WAIT_MATTERS else None)
        latest[key] = row
    if not latest:
        raise Broken(f"{path}: holds no results: run 'make bench' first")
    return list(latest.values())


HISTORY_KEY = re.compile(r"[a-z]+(/[a-z0-9.-]{1,40}){1,12}")
HISTORY_KEYS = {
    **keys(a_commit, "commit"),
    **keys(a_date, "date"),
    **keys(a_word(HISTORY_KEY, "a cell's name like throughput/8/single/1/best/1/1"), "key"),
    **keys(a_figure, "msgs_per_floor"),
    **keys(an_amount, "min", "max"),
}
HISTORY_MORE = keys(a_figure, "floor_ns")


def clean_history(row):
    found = checked(row, {**HISTORY_KEYS, **HISTORY_MORE})
    for key in HISTORY_KEYS:
        if key not in found:
            raise ValueError(f'"{key}" is missing: a line of the history has {", ".join(HISTORY_KEYS)}')
    if not found["min"] <= found["msgs_per_floor"] <= found["max"]:
        raise ValueError('"msgs_per_floor" must be from "min" to "max"')
    return found


def load_history(path):
    """The lines of one machine's history, oldest commit first; of a commit's lines for one key the last one."""
    latest = {}
    for row in read_lines(path, clean_history):
        latest[row["commit"], row["key"]] = row
    return sorted(latest.values(), key=lambda row: row["date"])


# ---- which rows belong together ----

# What is compared with each other. `extra` is what else a case varies: (number, unit) or (0, text).
Cell = collections.namedtuple("Cell", "case size how batch ring publishers subscribers extra")


def cell_of(row):
    extra = (0, "")
    if row["case"] == "oneway" and "load" in row:
        extra = (row["load"], "load")  # each has its own rate, half of what it can do, say
    elif row["case"] == "oneway" and "rate" in row:
        extra = (row["rate"], "rate")
    elif row["case"] == "topics":
        extra = (row.get("topics", 0), "topics")
    elif row["case"] == "instructions":
        extra = (0, ", ".join(filter(None, (row.get("op", ""), row.get("compiler", "")))))
    return Cell(row["case"], row.get("size", 0), row.get("how", "single"), row.get("batch", 1), row.get("ring", ""),
                row.get("publishers", 1), row.get("subscribers", 1), extra)


def cell_order(cell):
    return (list(CASES).index(cell.case) if cell.case in CASES else len(CASES), HOWS.index(cell.how), cell.batch,
            cell.ring, cell.size, cell.publishers, cell.subscribers, cell.extra[1], cell.extra[0])


def history_key(row):
    """What names a cell in bench/history, across commits."""
    cell = cell_of(row)
    parts = list(cell[:-1])
    number, unit = cell.extra
    if unit == "load":
        parts.append(f"load-{number:g}")
    elif unit == "rate":
        parts.append(f"{number:.0f}")
    elif unit == "topics":
        parts.append(f"topics-{number}")
    return "/".join(str(part) if part != "" else "-" for part in parts)


def is_own(row):
    """Aether, or a variant of it (aether-unbiased, say), which is no peer."""
    return row["impl"] == AETHER or row["impl"].startswith(AETHER + "-")


def is_measured(row):
    return row["case"] != PEER and "unsupported" not in row


def main_key(row):
    """What a measured row is ranked by."""
    return next(key for key in CASES[row["case"]] if key in row)


def higher_is_better(key):
    return key == "msgs_per_s"


def per_floor(row):
    """(value, min, max): messages per floor; for a latency how many floors its median is. None without a floor."""
    if "msgs_per_s" in row:
        value = row.get("msgs_per_floor") or None  # a row without floor_ns may have 0
        low, high = row.get("msgs_per_floor_min", value), row.get("msgs_per_floor_max", value)
    elif main_key(row) == "p50_ns" and "floor_ns" in row:
        value = row["p50_ns"] / row["floor_ns"]
        runs = spread_of(row) or (row["p50_ns"], row["p50_ns"])
        low, high = runs[0] / row["floor_ns"], runs[1] / row["floor_ns"]
    else:
        return None
    return None if value is None else (value, min(low, value), max(high, value))


def same_distance(one, other):
    """Whether two rows' floors are near each other; one that has none is taken as it is."""
    floors = sorted(row["floor_ns"] for row in (one, other) if "floor_ns" in row)
    return len(floors) < 2 or floors[1] <= FAR * floors[0]


def spread_of(row):
    """(min, max) of the runs of a row's main figure, or None."""
    key = main_key(row)
    if f"{key}_min" in row and f"{key}_max" in row:
        return row[f"{key}_min"], row[f"{key}_max"]
    if key in ("msgs_per_s", "p50_ns") and row.get("runs"):
        return min(row["runs"]), max(row["runs"])
    return None


def median(values):
    return statistics.median(values)


# ---- numbers for people ----


def three(value):
    """Three significant digits: 304, 30.4, 3.04, 1230."""
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e7:
        return f"{value:.2e}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def scale(value, steps):
    """The (divisor, unit) of rising steps in which three digits of the value read best."""
    best = steps[0]
    for step in steps[1:]:
        if value >= 0.9995 * step[0]:  # 999.7 k is 1.00 M
            best = step
    return best


RATES = ((1, "/s"), (1e3, " k/s"), (1e6, " M/s"), (1e9, " G/s"))
BYTE_RATES = ((1, " B/s"), (1e3, " kB/s"), (1e6, " MB/s"), (1e9, " GB/s"), (1e12, " TB/s"))
TIMES = ((1, " ns"), (1e3, " µs"), (1e6, " ms"), (1e9, " s"))
SIZES = ((1, " B"), (1 << 10, " KiB"), (1 << 20, " MiB"), (1 << 30, " GiB"))


def scaled(value, steps, spread=None):
    """304 M/s, or 304 M/s (300 to 310) in the same unit."""
    divisor, unit = scale(value, steps)
    text = three(value / divisor) + unit
    if spread:
        text += f" ({three(spread[0] / divisor)} to {three(spread[1] / divisor)})"
    return text


def rate(value, spread=None):
    return scaled(value, RATES, spread)


def byte_rate(value):
    return scaled(value, BYTE_RATES)


def duration(ns, spread=None):
    return scaled(ns, TIMES, spread)


def size(count):
    """8 B, 64 KiB; what isn't a whole number of its unit with three digits."""
    divisor, unit = scale(count, SIZES)
    return (str(int(count // divisor)) if count % divisor == 0 else three(count / divisor)) + unit


def short(value):
    """1 for a tick or a rate that is a round number: 1 M, 2.5 M, 10 k."""
    for divisor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= divisor:
            return f"{value / divisor:.4g}{unit}"
    return f"{value:.4g}"


def percent(share, sign=False):
    value = 100 * share
    return f"{value:+.1f} %" if sign else three(value) + " %"


def columns(table, right=()):
    """Rows of text as aligned lines; the first one is the heading; `right` are the columns of numbers."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [text.rjust(width) if i in right else text.ljust(width)
                 for i, (text, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return lines
