#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.py - tables and plots of the last benchmark results.

usage: report.py [--json | --text] [--results FILE] [--history DIR] [--out DIR]

Writes results.md and the plots into docs/benchmarks/. With --json prints the summary as one JSON object, with --text
prints it as tables for a terminal; then nothing is written.
"""

import argparse
import collections
import json
import pathlib
import signal
import sys

import rows as r
import svg

ROOT = pathlib.Path(__file__).resolve().parent.parent

TITLES = {
    "throughput": "Throughput: one publisher, one subscriber",
    "rtt": "Round trip: there and back, one message at a time",
    "oneway": "One way at a fixed rate: from due to received",
    "wakeup": "Wake-up of a sleeper",
    "publishers": "Several publishers",
    "fanout": "Fan-out: each subscriber gets every message",
    "topics": "Many topics",
    "join": "A subscriber joins and leaves",
    "idle": "CPU while there is nothing to do",
    "oversubscribed": "More runnable threads than cores",
    "instructions": "Instructions a call",
}
LACKS = ("processes", "several subscribers", "several publishers", "names", "crash safety", "loss reports", "wake-up",
         "flow control", "variable length", "zero-copy")
RINGS_MATTER = ("throughput", "publishers", "fanout", "oversubscribed")
NO_MESSAGES = ("idle", "join", "instructions")  # nothing passes, so there is no size, and no floor beside it
PERCENTILES = (("p50", "p50_ns"), ("p90", "p90_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns"))

# (case, size, how, batch, ring, kind, bound); a ring of None: the best one that was measured. The kinds are below,
# in JUDGES. Oneway is at 1 M/s, publishers are two, topics 10,000.
GOALS = [
    ("throughput", 8, "single", 1, "best", "per floor", 72),
    ("throughput", 32, "single", 1, "best", "per floor", 58),
    ("throughput", 64, "single", 1, "best", "per floor", 36),
    ("throughput", 8, "batch", 32, "best", "per floor", 165),
    ("throughput", 8, "batch", 256, "best", "per floor", 370),
    ("throughput", 32, "batch", 32, "best", "per floor", 100),
    ("throughput", 32, "batch", 256, "best", "per floor", 100),
    ("throughput", 64, "batch", 32, "best", "per floor", 50),
    ("throughput", 64, "batch", 256, "best", "per floor", 50),
    ("throughput", 8, "single", 1, "equal", "best peer", 1.5),
    ("throughput", 32, "single", 1, "equal", "best peer", 1.5),
    ("throughput", 64, "single", 1, "equal", "best peer", 1.5),
    ("throughput", 8, "single", 1, "best", "best peer", 1.5),
    ("throughput", 32, "single", 1, "best", "best peer", 1.5),
    ("throughput", 64, "single", 1, "best", "best peer", 1.5),
    ("throughput", 8, "batch", 32, "best", "rtrb", 1),
    ("throughput", 8, "batch", 256, "best", "rtrb", 1),
    ("throughput", 32, "batch", 32, "best", "rtrb", 1),
    ("throughput", 32, "batch", 256, "best", "rtrb", 1),
    ("throughput", 64, "batch", 32, "best", "dpdk-zc", 1),
    ("throughput", 64, "batch", 256, "best", "dpdk-zc", 1),
    ("publishers", 8, "single", 1, None, "best peer", 1),
    ("throughput", 65536, "loan", 1, None, "bytes", 50e9),
    ("throughput", 1048576, "loan", 1, None, "bytes", 50e9),
    ("rtt", 8, "single", 1, None, "floors", 1.05),
    ("rtt", 32, "single", 1, None, "floors", 1.25),
    ("rtt", 8, "single", 1, None, "tail", "p99.9"),
    ("rtt", 32, "single", 1, None, "tail", "p99.9"),
    ("oneway", 8, "single", 1, None, "floors", 1),
    ("oneway", 8, "single", 1, None, "tail", "p99.9"),
    ("oneway", 8, "single", 1, None, "aeron p99", 10),
    ("topics", 8, "single", 1, None, "unchanged", 0.95),
    ("throughput", 8, "single", 1, "best", "latency off", 0.95),
    ("throughput", 32, "single", 1, "best", "latency off", 0.95),
    ("throughput", 8, "batch", 32, "best", "latency off", 0.95),
    ("rtt", 8, "single", 1, None, "latency off", 0.95),
]
GOAL_RATE = 1e6  # messages a second
GOAL_PUBLISHERS = 2
GOAL_TOPICS = 10000

# Keys of throughput in the history's plot, those that there are.
HISTORY_PLOTTED = ("throughput/8/single/1/best/1/1", "throughput/32/single/1/best/1/1",
                   "throughput/64/single/1/best/1/1", "throughput/8/batch/32/best/1/1",
                   "throughput/8/batch/256/best/1/1", "throughput/32/batch/256/best/1/1",
                   "throughput/64/batch/256/best/1/1")


# ---- cells ----


def way(cell):
    return f"batch {cell.batch}" if cell.how == "batch" else cell.how


def extra(cell):
    number, text = cell.extra
    if text == "load":
        return f"{100 * number:.4g} % load"
    if text == "rate":
        return f"{r.short(number)}/s"
    if text == "topics":
        return f"{number} topic" + ("s" if number != 1 else "")
    return text


def label(cell):
    """A cell in words: 8 B, batch 256, best ring."""
    parts = [r.size(cell.size)] if cell.size and cell.case not in NO_MESSAGES else []
    if cell.case in RINGS_MATTER or cell.how != "single":
        parts.append(way(cell))
    if cell.ring and (cell.case in RINGS_MATTER or cell.ring != "best"):
        parts.append(f"{cell.ring} ring")
    if cell.publishers != 1 or cell.case == "publishers":
        parts.append(f"{cell.publishers} publisher" + ("s" if cell.publishers != 1 else ""))
    if cell.subscribers != 1 or cell.case == "fanout":
        parts.append(f"{cell.subscribers} subscriber" + ("s" if cell.subscribers != 1 else ""))
    if extra(cell):
        parts.append(extra(cell))
    return ", ".join(parts) or "all"


def name(row):
    return row.get("name") or row["impl"]


def sorted_rows(rows):
    """Best first. A row that has another main figure than the first one's comes last; it can't be compared."""
    def order(row):
        key = r.main_key(row)
        return key, -row[key] if r.higher_is_better(key) else row[key]
    return sorted(rows, key=order)


def ratio(aether, row):
    """Aether's main figure divided by this row's; None if there is none."""
    if aether is None or r.main_key(aether) != r.main_key(row):
        return None
    key = r.main_key(row)
    return aether[key] / row[key] if row[key] >= r.NUMBER_MIN else None


def aether_of(ranked):
    """Aether's row; if several ways of waiting were measured, the best."""
    return next((row for row in ranked if row["impl"] == r.AETHER), None)


def entries(rows):
    """case -> [(cell, its rows, best first)], all in the report's order."""
    cells = collections.defaultdict(list)
    for row in rows:
        if r.is_measured(row):
            cells[r.cell_of(row)].append(row)
    found = collections.defaultdict(list)
    for cell in sorted(cells, key=r.cell_order):
        found[cell.case].append((cell, sorted_rows(cells[cell])))
    return {case: found[case] for case in r.CASES if case in found}


def best_peer(ranked):
    return next((row for row in ranked if not r.is_own(row)), None)


# ---- goals ----


VARIANTS = {"latency off": "aether-latency-off"}  # goals that compare Aether with a variant of itself, not with a peer

def goal_rows(rows, goal):
    """(Aether's row, the peers' rows of the same cell, best first) of a goal; (None, why) if it wasn't measured."""
    case, size, how, batch, ring, kind, _ = goal
    def fits(row):
        cell = r.cell_of(row)
        return (cell[:4] == (case, size, how, batch) and ring in (None, cell.ring)
                and (cell.publishers, cell.subscribers) == (GOAL_PUBLISHERS if case == "publishers" else 1, 1)
                and (case != "oneway" or cell.extra == (GOAL_RATE, "rate"))
                and (case != "topics" or cell.extra == (GOAL_TOPICS, "topics")))
    fitting = [row for row in rows if row["case"] == case and fits(row)]
    own = sorted((row for row in fitting if row["impl"] == r.AETHER), key=lambda row: row.get("ring") != "best")
    measured = [row for row in own if r.is_measured(row)]
    if not measured:
        return None, own[0]["unsupported"] if own else "no such row"
    if case == "topics":
        return measured[0], [row for row in rows if row["impl"] == r.AETHER and r.is_measured(row)
                             and r.cell_of(row) == r.cell_of(measured[0])._replace(extra=(1, "topics"))]
    beside = VARIANTS.get(kind)
    peers = [row for row in fitting if r.is_measured(row) and r.cell_of(row) == r.cell_of(measured[0])
             and (row["impl"] == beside if beside else not r.is_own(row))]
    return measured[0], sorted_rows(peers)


def of_library(peers, word):
    """The rows of a library, which may have several implementations: rtrb, rtrb-chunk."""
    return [row for row in peers if row["impl"] == word or row["impl"].startswith(word + "-")]


# A judge returns (whether the goal is reached, the value in words); None and why, if that can't be said.


def judge_per_floor(aether, peers, bound):
    value = r.per_floor(aether)
    if value is None:
        return None, "the row has no floor"
    return value[0] >= bound, f"{r.three(value[0])} messages per floor"


def judge_ahead(aether, peers, bound):
    if not peers:
        return None, "no such peer was measured in this cell"
    value = ratio(aether, peers[0])
    return value >= bound, f"{r.three(value)} × {name(peers[0])}"


def judge_floors(aether, peers, bound):
    value = r.per_floor(aether)
    if value is None:
        return None, "the row has no floor"
    return value[0] <= bound, f"p50 of {r.three(value[0])} floors"


def judge_tail(aether, peers, bound):
    """Ahead of each peer at each percentile up to the bound; the text names where it is nearest, or furthest behind."""
    worst = None
    for text, key in PERCENTILES:
        for peer in peers:
            if key in peer and key in aether and (worst is None or aether[key] / peer[key] > worst[0]):
                worst = (aether[key] / peer[key], text, key, peer)
        if text == bound:
            break
    if worst is None:
        return None, "no peer was measured in this cell"
    share, text, key, peer = worst
    return share < 1, f"{text} {r.duration(aether[key])}, {name(peer)} {r.duration(peer[key])}"


def judge_p99(aether, peers, bound):
    peers = [row for row in peers if "p99_ns" in row]
    if not peers or "p99_ns" not in aether:
        return None, "no such peer was measured in this cell"
    peer = min(peers, key=lambda row: row["p99_ns"])
    value = peer["p99_ns"] / aether["p99_ns"]
    return value >= bound, f"{r.three(value)} × better than {name(peer)}"


def judge_bytes(aether, peers, bound):
    value = aether["msgs_per_s"] * aether["size"]
    return value >= bound, r.byte_rate(value)


def judge_unchanged(aether, peers, bound):
    """As with one topic. The row of that comes instead of peers."""
    one = peers[0] if peers else None
    if one is None or r.per_floor(aether) is None or r.per_floor(one) is None:
        return None, "the row with one topic is missing"
    value = r.per_floor(aether)[0] / r.per_floor(one)[0]
    return value >= bound, f"{r.three(value)} of the messages per floor with one topic"


def judge_variant(aether, peers, bound):
    """The main figure per floor, as a share of the variant's; above 1 Aether is faster."""
    variant = peers[0] if peers else None
    key = r.main_key(aether)
    if variant is None or r.main_key(variant) != key:
        return None, "the variant's row is missing"
    value = aether[key] / variant[key]
    if r.per_floor(aether) and r.per_floor(variant):
        value = r.per_floor(aether)[0] / r.per_floor(variant)[0]
    if not r.higher_is_better(key):
        value = 1 / value
    return value >= bound, f"{r.three(value)} × {name(variant)}"


# kind: (which library's rows it looks at, judge, the goal in words)
JUDGES = {
    "per floor": (None, judge_per_floor, lambda bound: f"at least {bound} messages per floor"),
    "best peer": (None, judge_ahead, lambda bound: f"at least {bound} × the best peer"),
    "rtrb": ("rtrb", judge_ahead, lambda bound: f"at least {bound} × rtrb"),
    "dpdk-zc": ("dpdk-zc", judge_ahead, lambda bound: f"at least {bound} × DPDK zero-copy"),
    "bytes": (None, judge_bytes, lambda bound: f"at least {r.byte_rate(bound)}"),
    "floors": (None, judge_floors, lambda bound: f"p50 at most {bound} floor" + ("s" if bound != 1 else "")),
    "tail": (None, judge_tail, lambda bound: f"ahead of every peer up to {bound}"),
    "unchanged": (None, judge_unchanged, lambda bound: f"at least {bound} of one topic's messages per floor"),
    "latency off": (None, judge_variant, lambda bound: f"at least {bound} × what it is with --latency off"),
    "aeron p99": ("aeron", judge_p99, lambda bound: f"p99 at least {bound} × better than Aeron"),
}


def far_text(row, rows):
    """Why a row's floor says that it can't be compared with the best of the rows; None if it can."""
    nearest = min((other for other in rows if "floor_ns" in other), key=lambda other: other["floor_ns"], default=row)
    if r.same_distance(row, nearest):
        return None
    return f"the cores were far apart: floor {r.duration(row['floor_ns'])}, nearest {r.duration(nearest['floor_ns'])}"


def judged(rows, goal):
    case, size, how, batch, ring, kind, bound = goal
    more = {"oneway": (GOAL_RATE, "rate"), "topics": (GOAL_TOPICS, "topics")}.get(case, (0, ""))
    cell = r.Cell(case, size, how, batch, ring or "", GOAL_PUBLISHERS if case == "publishers" else 1, 1, more)
    library, judge, words = JUDGES[kind]
    aether, peers = goal_rows(rows, goal)
    if aether is None:
        reached, value = None, peers
    else:
        reached, value = judge(aether, of_library(peers, library) if library else peers, bound)
        far = far_text(aether, rows)
        if far and kind != "bytes":  # many instructions fit into a long floor; more messages then are no feat
            reached, value = None, f"{value}, but {far}"
        if aether.get("warnings"):
            value += " (Aether's row has warnings)"
    verdict = {True: "reached", False: "not reached", None: "not measured"}[reached]
    return {"case": case, "cell": label(cell), "goal": words(bound), "verdict": verdict, "value": value}


# ---- summary ----


def floors(rows):
    values = [row["floor_ns"] for row in rows if "floor_ns" in row]
    if not values:
        return None
    found = {"rows": len(values), "median_ns": r.median(values), "min_ns": min(values), "max_ns": max(values)}
    found["best_ns"] = min([row["floor_best_ns"] for row in rows if "floor_best_ns" in row] or values)
    paused = [row["floor_paused_ns"] for row in rows if "floor_paused_ns" in row]
    if paused:
        found["paused_median_ns"] = r.median(paused)
    return found


def distinct(values):
    return list(dict.fromkeys(value for value in values if value))


def origins(rows):
    """The machine of the last row that names one, and how many others there are: then rows don't belong together."""
    machines = [row["machine"] for row in rows if row.get("machine")]
    prints = distinct(machine.get("fingerprint") for machine in machines)
    return {"machine": machines[-1] if machines else {}, "fingerprints": prints,
            "commits": distinct(row.get("commit") for row in rows),
            "dates": sorted(distinct(row.get("date") for row in rows))}


def implementations(rows):
    """One object an implementation: what is said about it as a whole. Aether first, then by name."""
    found = {}
    for row in rows:
        if row["case"] == r.PEER:
            continue
        known = found.setdefault(row["impl"], {"impl": row["impl"]})
        known.update({key: row[key] for key in ("name", "version", "between", "settings", "lacks") if key in row})
    return sorted(found.values(), key=lambda one: (not r.is_own(one), name(one).lower()))


def gathered(pairs):
    """[(impl, text, cell's label)] by impl and text, with the labels of all cells that say the same."""
    found = collections.defaultdict(list)
    for impl, text, where in pairs:
        found[impl, text].append(where)
    return [{"impl": impl, "text": text, "cells": where} for (impl, text), where in found.items()]


def where_of(row):
    return f"{row['case']} {label(r.cell_of(row))}"


def remarks(rows):
    """What must be known of single rows: warnings of the run, a floor of far cores, and messages that were lost."""
    for row in rows:
        far = far_text(row, rows)
        if far:
            yield row["impl"], far.split(":")[0], f"{where_of(row)}: {r.duration(row['floor_ns'])}"
        for text in row.get("warnings", []):
            yield row["impl"], text, where_of(row)
        if row.get("lost"):
            yield row["impl"], "lost messages", f"{where_of(row)}: {row['lost']}"


def summary(rows):
    """All that the report says, as one object; the three kinds of output are made of it."""
    cases = {}
    for case, cells in entries(rows).items():
        cases[case] = []
        for cell, ranked in cells:
            aether, peer = aether_of(ranked), best_peer(ranked)
            shown = [{**{key: value for key, value in row.items() if key != "hist"},
                      "aether_to_this": ratio(aether, row), "far": far_text(row, rows) is not None} for row in ranked]
            cases[case].append({"cell": label(cell), "best_peer": peer and peer["impl"],
                                "aether_to_best_peer": ratio(aether, peer) if peer else None, "rows": shown})
    return {**origins(rows), "floor": floors(rows), "cases": cases,
            "goals": [judged(rows, goal) for goal in GOALS],
            "implementations": implementations(rows),
            "remarks": gathered(remarks(rows)),
            "unsupported": gathered((row["impl"], row["unsupported"], where_of(row))
                                    for row in rows if "unsupported" in row),
            "skipped": [{"impl": row["impl"], "text": row["skipped"]} for row in rows if row["case"] == r.PEER]}


# ---- the columns of a case ----


def with_spread(row):
    key = r.main_key(row)
    if key == "msgs_per_s":
        return r.rate(row[key], r.spread_of(row))
    return r.duration(row[key], r.spread_of(row))


def floor_text(row):
    value = r.per_floor(row)
    return f"{r.three(value[0])} ({r.three(value[1])} to {r.three(value[2])})" if value else ""


def ns_text(key):
    return lambda row: r.duration(row[key]) if key in row else ""


def noted(row):
    parts = ["warning"] if row.get("warnings") else []
    if row["far"]:
        parts.append("far cores")
    if row.get("lost"):
        parts.append(f"lost {row['lost']}")
    if row.get("discarded"):
        parts.append(f"{row['discarded']} thrown away")
    return ", ".join(parts)


def ratio_text(row):
    return r.three(row["aether_to_this"]) if row["aether_to_this"] is not None else ""


def byte_text(row):
    return r.byte_rate(row["msgs_per_s"] * row["size"]) if row.get("size") and "msgs_per_s" in row else ""


def cell_text(part):
    return lambda row: part(r.cell_of(row))


# (heading, whether it is a number, text of a row); a column that is empty in all rows of a table is left out.
CELL_COLUMNS = [
    ("message", True, cell_text(lambda cell: r.size(cell.size) if cell.size else "")),
    ("way", False, cell_text(way)),
    ("ring", False, cell_text(lambda cell: cell.ring)),
    ("publishers", True, cell_text(lambda cell: str(cell.publishers))),
    ("subscribers", True, cell_text(lambda cell: str(cell.subscribers))),
    ("what", False, cell_text(extra)),
]
ROOM = ("room", True, lambda row: str(row["capacity"]) if row.get("capacity") else "")
# These say nothing where every row has the same.
DULL = {"cell": {"all"}, "way": {"single"}, "publishers": {"1"}, "subscribers": {"1"}}
MORE_COLUMNS = [
    ("bytes/s", True, byte_text),
    ("p90", True, ns_text("p90_ns")),
    ("p99", True, ns_text("p99_ns")),
    ("p99.9", True, ns_text("p999_ns")),
    ("max", True, ns_text("max_ns")),
    ("open", True, ns_text("open_ns")),
    ("memory a topic", True, lambda row: r.size(row["bytes_each"]) if "bytes_each" in row else ""),
]


def main_column(case):
    """The column that the rows are sorted by, if it isn't among the others."""
    if case == "idle":
        return [("CPU, of a core", True, lambda row: r.percent(row["cpu"]))]
    if case == "instructions":
        return [("instructions", True, lambda row: r.three(row["instructions"]))]
    return [("messages/s (min to max)", True, lambda row: with_spread(row) if "msgs_per_s" in row else ""),
            ("p50 (min to max)", True, lambda row: with_spread(row) if r.main_key(row) == "p50_ns" else "")]


def case_columns(case):
    cell = [column for column in CELL_COLUMNS if column[0] == "what" or case not in NO_MESSAGES]
    floor = [("floor", True, ns_text("floor_ns"))] if case not in NO_MESSAGES else []
    wait = [("waits by", False, lambda row: row.get("wait", ""))] if case in r.WAIT_MATTERS else []
    return (cell + [("who", False, name), ("between", False, lambda row: row.get("between", "")), ROOM] + wait
            + main_column(case) + MORE_COLUMNS
            + [("messages per floor (min to max)", True, lambda row: floor_text(row) if "msgs_per_s" in row else ""),
               ("p50 / floor (min to max)", True, lambda row: floor_text(row) if r.main_key(row) == "p50_ns" else "")]
            + floor + [("Aether ÷ this", True, ratio_text), ("noted", False, noted)])


def table_of(rows, columns):
    """(heading, numeric columns, lines of text) with the columns that say something."""
    kept = []
    for heading, number, text in columns:
        texts = [text(row) for row in rows]
        if any(texts) and set(texts) != DULL.get(heading):
            kept.append((heading, number, texts))
    lines = [list(line) for line in zip(*(texts for _, _, texts in kept))]
    return [heading for heading, _, _ in kept], {i for i, column in enumerate(kept) if column[1]}, lines


# ---- Markdown ----


def md(text):
    """Text that means nothing to Markdown or HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + c if c in "\\`*_[]|~$" else c for c in text)


def md_table(heading, numbers, lines):
    marks = ["---:" if i in numbers else "---" for i in range(len(heading))]
    return ["| " + " | ".join(line) + " |" for line in [list(map(md, heading)), marks] + lines] + [""]


def md_line(texts, strong):
    return [f"**{md(text)}**" if strong and text else md(text) for text in texts]


def best_table(cells):
    """A line a cell: Aether beside the best peer."""
    lines = []
    for entry in cells:
        aether = aether_of(entry["rows"])
        peer = best_peer(entry["rows"])
        if aether is None or peer is None or entry["aether_to_best_peer"] is None:
            continue
        lines.append([entry["cell"], main_text(aether), name(peer), main_text(peer),
                      r.three(entry["aether_to_best_peer"])])
    return lines


def main_text(row):
    key = r.main_key(row)
    if key == "cpu":
        return r.percent(row[key])
    if key == "instructions":
        return r.three(row[key])
    return r.rate(row[key]) if key == "msgs_per_s" else r.duration(row[key])


def md_case(case, cells, plots):
    lines = [f"## {TITLES[case]}", ""]
    lines += [f"![{md(title)}]({file})\n" for file, (of_case, title, _) in plots.items() if of_case == case]
    best = best_table(cells)
    if best:
        lines += md_table(["cell", "Aether", "best peer", "its figure", "Aether ÷ best peer"], {1, 3, 4},
                          [md_line(line, False) for line in best])
    rows = [row for entry in cells for row in entry["rows"]]
    if any(r.higher_is_better(r.main_key(row)) for row in rows):
        lines += ["More is better: above 1, Aether is ahead.", ""]
    else:
        lines += ["Less is better: below 1, Aether is ahead.", ""]
    heading, numbers, texts = table_of(rows, case_columns(case))
    return lines + md_table(heading, numbers,
                            [md_line(line, row["impl"] == r.AETHER) for row, line in zip(rows, texts)])


def md_origin(report):
    machine = report["machine"]
    parts = [machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else None,
             f"L2 {machine['l2']}" if "l2" in machine else None, f"L3 {machine['l3']}" if "l3" in machine else None,
             f"Linux {machine['kernel']}" if "kernel" in machine else None, machine.get("compiler")]
    dates = distinct(report["dates"][:1] + report["dates"][-1:])
    lines = ["| | |", "|---|---|",
             f"| machine | {md(', '.join(part for part in parts if part) or 'unknown')} |",
             f"| its fingerprint | {', '.join(report['fingerprints']) or 'unknown'} |",
             f"| commit | {md(', '.join(report['commits']) or 'unknown')} |",
             f"| date | {' to '.join(dates) or 'unknown'} |"]
    floor = report["floor"]
    if floor:
        lines.append(f"| floor | best {r.duration(floor['best_ns'])}, median {r.duration(floor['median_ns'])} "
                     f"({r.duration(floor['min_ns'])} to {r.duration(floor['max_ns'])} over {floor['rows']} rows) |")
        if "paused_median_ns" in floor:
            lines.append(f"| floor whose readers pause | median {r.duration(floor['paused_median_ns'])} |")
    for key, what in (("fingerprints", "machine"), ("commits", "commit")):
        if len(report[key]) > 1:
            lines += ["", f"These rows are of more than one {what}: don't compare them with each other."]
    return lines + [""]


def md_goals(report):
    counts = collections.Counter(goal["verdict"] for goal in report["goals"])
    return ["## Goals", "",
            f"{counts['reached']} reached, {counts['not reached']} not reached, {counts['not measured']} not measured.",
            ""] + md_table(["case", "cell", "goal", "", "value"], set(),
                           [md_line([goal["case"], goal["cell"], goal["goal"], goal["verdict"], goal["value"]],
                                    False) for goal in report["goals"]])


def md_peers(report):
    """What each implementation is, and what it doesn't do that Aether does meanwhile."""
    known = report["implementations"]
    lines = ["## Who was measured", ""] + md_table(
        ["who", "version", "between", "settings"], set(),
        [md_line([name(one), one.get("version", ""), one.get("between", ""), one.get("settings", "")],
                 one["impl"] == r.AETHER) for one in known])
    lines += ["## What they don't do", "",
              'What Aether does while it is measured: "no" is what this one doesn\'t do. Empty: nothing was said.', ""]
    own_words = any(set(one.get("lacks", [])) - set(LACKS) for one in known)
    table = []
    for one in known:
        lacks = one.get("lacks", [] if one["impl"] == r.AETHER else None)
        line = [name(one)] + ["" if lacks is None else "no" if word in lacks else "yes" for word in LACKS]
        if own_words:
            line.append(", ".join(word for word in lacks or [] if word not in LACKS))
        table.append(md_line(line, one["impl"] == r.AETHER))
    return lines + md_table(["who", *LACKS] + (["further"] if own_words else []), set(), table)


def few(texts, limit=4):
    texts = distinct(texts)
    return "; ".join(texts[:limit]) + (f"; and {len(texts) - limit} more" if len(texts) > limit else "")


def by_text(found):
    """text -> (implementations, cells): one line for all that it is about."""
    texts = collections.defaultdict(lambda: ([], []))
    for one in found:
        texts[one["text"]][0].append(one["impl"])
        texts[one["text"]][1].extend(one.get("cells", []))
    return texts


def md_remarks(report):
    names = {one["impl"]: name(one) for one in report["implementations"]}
    def gathered_table(title, heading, found):
        if not found:
            return []
        return [title, ""] + md_table(["who", heading, "where"], set(), [
            md_line([few(names.get(impl, impl) for impl in impls), text, few(cells)], False)
            for text, (impls, cells) in by_text(found).items()])
    lines = gathered_table("## Warnings", "what", report["remarks"])
    lines += gathered_table("## What can't be done", "why", report["unsupported"])
    if report["skipped"]:
        lines += ["## Who is missing", ""] + md_table(["who", "why"], set(), [
            md_line([one["impl"], one["text"]], False) for one in report["skipped"]])
    return lines


def markdown(report, plots):
    lines = ["# Benchmark results", "",
             "Written by `bench/report.py` of the last results. What a figure is, and what it isn't, is in",
             "[benchmarks.md](../benchmarks.md); how to take them, in [bench/README.md](../../bench/README.md).", "",
             "*Ring* is `equal` where all have as many messages of room, and `best` where each has what suits it best.",
             "A figure is the median of the accepted runs. *Messages per floor* are those that pass in the time of one",
             "ping-pong of a cache line, measured beside each row.", ""]
    lines += md_origin(report) + md_goals(report)
    for case, cells in report["cases"].items():
        lines += md_case(case, cells, plots)
    history = [(file, title) for file, (case, title, _) in plots.items() if case == "history"]
    if history:
        lines += ["## History", ""] + [f"![{md(title)}]({file})\n" for file, title in history]
    lines += md_peers(report) + md_remarks(report)
    return "\n".join(lines).rstrip() + "\n"


# ---- text for a terminal ----


# A terminal is narrow: the cell is one column, and these are left out.
TEXT_DROPPED = {heading for heading, _, _ in CELL_COLUMNS} | {"who", "between", "room", "bytes/s", "p90", "max"}


def text_case(case, cells):
    rows = [row for entry in cells for row in entry["rows"]]
    alone = all(row["impl"] == r.AETHER for row in rows)
    columns = [("cell", False, lambda row: label(r.cell_of(row)))]
    if not alone:
        columns.append(("who", False, lambda row: row["impl"]))
    columns += [column for column in case_columns(case)
                if column[0] not in TEXT_DROPPED and not (alone and column[0] == "Aether ÷ this")]
    heading, numbers, texts = table_of(rows, columns)
    return [TITLES[case], *("  " + line for line in r.columns([heading] + texts, numbers)), ""]


def text_remarks(what, found):
    return [f"{what}: {few(impls)}: {text}" + (f" ({few(cells, 2)})" if cells else "")
            for text, (impls, cells) in by_text(found).items()]


def text_report(report):
    lines = []
    for case, cells in report["cases"].items():
        lines += text_case(case, cells)
    goals = [goal for goal in report["goals"] if goal["verdict"] != "not measured"]
    if goals:
        table = [["goal", "", "", "value"]]
        table += [[f"{goal['case']} {goal['cell']}", goal["goal"], goal["verdict"], goal["value"]] for goal in goals]
        lines += ["Goals", *("  " + line for line in r.columns(table)), ""]
    lines += text_remarks("warning", report["remarks"])
    lines += text_remarks("can't", report["unsupported"])
    lines += text_remarks("missing", report["skipped"])
    floor = report["floor"]
    if floor:
        lines.append(f"floor: best {r.duration(floor['best_ns'])}, median {r.duration(floor['median_ns'])} "
                     f"({r.duration(floor['min_ns'])} to {r.duration(floor['max_ns'])})")
    return "\n".join(lines).rstrip() + "\n"


# ---- plots ----


def tick_rate(value):
    return r.short(value) + "/s"


def tick_time(ns):
    divisor, unit = r.scale(ns, r.TIMES)
    return f"{ns / divisor:.4g}{unit}"


def origin_text(report):
    machine = report["machine"]
    return ", ".join(filter(None, (machine.get("cpu"), machine.get("fingerprint"), *report["commits"][:1],
                                   *[date[:10] for date in report["dates"][-1:]])))


def one_ring(rows):
    """The rows with the best ring, or if there are none, of the first one's."""
    rings = [row.get("ring", "") for row in rows]
    ring = "best" if "best" in rings else (rings or [""])[0]
    return [row for row in rows if row.get("ring", "") == ring], ring


def by_impl(rows, x, y):
    """A series an implementation, of the points (x(row), y(row))."""
    found = collections.defaultdict(dict)
    for row in rows:
        found[name(row), r.is_own(row), row["look"]][x(row)] = y(row)
    return [svg.Series(text, sorted(points.items()), own, look) for (text, own, look), points in found.items()]


def with_looks(rows):
    """The rows, each with the number of its implementation's look; Aether itself has the first one."""
    own = sorted({row["impl"] for row in rows if r.is_own(row)}, key=lambda impl: (impl != r.AETHER, impl))
    peers = sorted({row["impl"] for row in rows if not r.is_own(row)})
    looks = {impl: number for impls in (own, peers) for number, impl in enumerate(impls)}
    return [{**row, "look": looks[row["impl"]]} for row in rows]


def values_of(series, axis):
    return sorted({point[axis] for one in series for point in one.points})


def rate_plot(title, subtitle, series, x_label, x_text):
    """Messages a second by something that doubles; None with fewer than two places on the x axis."""
    places = values_of(series, 0)
    if len(places) < 2:
        return None
    return svg.plot(title, subtitle, svg.tick_axis(x_label, [(x, x_text(x)) for x in places], True, 0.03),
                    svg.log_axis("messages a second", values_of(series, 1), tick_rate), series)


def plot_sizes(rows, how, batch, origin):
    rows, ring = one_ring([row for row in rows if r.cell_of(row)[:1] + r.cell_of(row)[2:4] == ("throughput", how, batch)
                           and row.get("size") and "msgs_per_s" in row])
    calls = "one message a call" if how == "single" else f"batches of {batch}"
    title = f"Throughput by size, {calls}"
    series = by_impl(rows, lambda row: row["size"], lambda row: row["msgs_per_s"])
    return title, rate_plot(title, f"one publisher, one subscriber, {ring} ring; {origin}", series, "message", r.size)


def plot_scaling(rows, case, key, origin):
    """By publishers or subscribers; throughput's row is the place of one, where the case has none of its own."""
    groups = collections.defaultdict(list)
    for row in rows:
        if row["case"] == case and "msgs_per_s" in row:
            groups[r.cell_of(row)[1:5]].append(row)
    title = "Scaling by publishers, all together" if key == "publishers" else "Fan-out by subscribers"
    if not groups:
        return title, None
    def rank(group):
        return any(map(r.is_own, groups[group])), group[3] == "best", group[0] == 8, len(groups[group])
    group = max(sorted(groups), key=rank)
    several = {row["impl"] for row in groups[group]}
    alone = [row for row in rows if row["case"] == "throughput" and "msgs_per_s" in row and row["impl"] in several
             and r.cell_of(row)[1:7] == (*group, 1, 1)]
    series = by_impl(alone + groups[group], lambda row: row.get(key, 1), lambda row: row["msgs_per_s"])
    subtitle = f"{label(r.Cell('throughput', *group, 1, 1, (0, '')))}; {origin}"
    return title, rate_plot(title, subtitle, series, key, lambda count: f"{count:g}")


def curve(row):
    """[(1 / (1 - p), ns)] of a latency row, with no more points than can be told apart.

    p is the middle of the samples of the same ns, so that the largest one has a place, too.
    """
    total = sum(count for _, count in row.get("hist", []))
    if not total:
        return [(1 / (1 - share), row[key]) for share, key in ((.5, "p50_ns"), (.9, "p90_ns"), (.99, "p99_ns"),
                                                              (.999, "p999_ns")) if key in row]
    points, seen = [(1.0, max(row["hist"][0][0], 1.0))], 0
    for ns, count in row["hist"]:
        if count == 0:
            continue
        seen += count
        x, y = total / (total - seen + count / 2), max(ns, 1.0)
        if x >= 1.01 * points[-1][0] or y >= 1.01 * points[-1][1] or seen == total:
            points.append((x, y))
    return points


def plot_latency(rows, title, subtitle, origin):
    rows, ring = one_ring([row for row in rows if "p50_ns" in row])
    series = [svg.Series(name(row), curve(row), r.is_own(row), row["look"]) for row in rows]
    if not series:
        return title, None
    end = max(values_of(series, 0)[-1], 1000)
    marks = [(1, "0 %"), (2, "50 %"), (10, "90 %"), (100, "99 %")]
    marks += [(10 ** digits, f"99.{'9' * (digits - 2)} %") for digits in range(3, 19)]
    x_axis = svg.Axis("percentile", 1, end, [mark for mark in marks if mark[0] <= end], True)
    ringed = f", {ring} ring" if ring else ""
    return title, svg.plot(title, f"{subtitle}{ringed}; {origin}", x_axis,
                           svg.log_axis("latency", values_of(series, 1), tick_time), series)


def plot_history(path):
    """Messages per floor by commit, oldest first, of one machine."""
    rows = r.load_history(path)
    title = f"Messages per floor by commit, on {path.stem}"
    commits = distinct(row["commit"] for row in rows)
    series = []
    for look, key in enumerate(HISTORY_PLOTTED):
        points = [(commits.index(row["commit"]), row["msgs_per_floor"]) for row in rows if row["key"] == key]
        _, size, how, batch, *_ = key.split("/")
        text = f"{size} B, {'batch ' + batch if how == 'batch' else how}"
        series.append(svg.Series(text, sorted(points), look == 0, look))
    series = [one for one in series if one.points]
    if not series:
        return title, None
    ticks = [(i, commit[:7]) for i, commit in enumerate(commits)]
    return title, svg.plot(title, "Aether, throughput, best ring", svg.tick_axis("commit", ticks, False, 0.03),
                           svg.log_axis("messages per floor", values_of(series, 1), r.short), series)


def all_plots(rows, report, history):
    """file name -> (case, title, SVG) of the plots that there are rows for."""
    origin = origin_text(report)
    measured = with_looks([row for row in rows if r.is_measured(row)])
    oneway = [row for row in measured if r.cell_of(row)[1::6] == (8, (GOAL_RATE, "rate")) and row["case"] == "oneway"]
    made = {
        "throughput-single.svg": ("throughput", *plot_sizes(measured, "single", 1, origin)),
        "throughput-batch.svg": ("throughput", *plot_sizes(measured, "batch", 256, origin)),
        "rtt.svg": ("rtt", *plot_latency([row for row in measured if row["case"] == "rtt" and row.get("size") == 8],
                                         "Round trip of 8 bytes", "one message at a time", origin)),
        "oneway.svg": ("oneway", *plot_latency(oneway, "One way at 1 M messages a second",
                                               "8 bytes, from due to received", origin)),
        "publishers.svg": ("publishers", *plot_scaling(measured, "publishers", "publishers", origin)),
        "fanout.svg": ("fanout", *plot_scaling(measured, "fanout", "subscribers", origin)),
    }
    files = sorted(history.glob("*.jsonl"), key=lambda path: (path.stem not in report["fingerprints"], path.name))
    for path in files:
        if r.FINGERPRINT.fullmatch(path.stem):
            made[f"history-{path.stem}.svg"] = ("history", *plot_history(path))
    return {file: plot for file, plot in made.items() if plot[2] is not None}


# ---- the program ----


def write(out, report, plots):
    out.mkdir(parents=True, exist_ok=True)
    for file, (_, _, text) in plots.items():
        (out / file).write_text(text, encoding="utf-8")
    (out / "results.md").write_text(markdown(report, plots), encoding="utf-8")


def main(arguments):
    parser = argparse.ArgumentParser(prog="report.py", allow_abbrev=False,
                                     description="Tables and plots of the last benchmark results.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print the summary as one JSON object; write nothing")
    kind.add_argument("--text", action="store_true", help="print tables for a terminal; write nothing")
    parser.add_argument("--results", type=pathlib.Path, metavar="FILE", default=ROOT / "build/bench-results.jsonl",
                        help="default: build/bench-results.jsonl")
    parser.add_argument("--history", type=pathlib.Path, metavar="DIR", default=ROOT / "bench/history",
                        help="default: bench/history")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", default=ROOT / "docs/benchmarks",
                        help="where results.md and the plots go (default: docs/benchmarks)")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # a terminal that has no µ gets ?
    try:
        rows = r.load(options.results)
        report = summary(rows)
        if options.json:
            print(json.dumps(report, ensure_ascii=False))
        elif options.text:
            print(text_report(report), end="")
        else:
            plots = all_plots(rows, report, options.history)
            write(options.out, report, plots)
            print(f"{options.out / 'results.md'}: {len(rows)} rows, {len(plots)} plots")
    except r.Broken as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"report.py: {options.out}: can't be written: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # report.py --text | head
    sys.exit(main(sys.argv[1:]))
