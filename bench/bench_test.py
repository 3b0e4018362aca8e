#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_test.py - tests (TAP) of what reads benchmark results: rows.py, svg.py, report.py and check.py.

The results are made here, from fixed numbers. The programs are run as such, with files in a directory of their own.
"""

import functools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import check  # noqa: E402
import report  # noqa: E402
import rows as r  # noqa: E402
import svg  # noqa: E402

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "l2": "1 MiB", "l3": "16 MiB", "kernel": "6.18", "compiler": "gcc 12.2.0",
           "fingerprint": "0123abcd"}
# impl, name, messages a second at 8 bytes, p50 of a round trip
PEERS = [
    ("aether", "Aether", 304e6, 114), ("aether-cas", "Aether, unbiased", 144e6, 116), ("rtrb", "rtrb", 210e6, 120),
    ("rtrb-chunk", "rtrb, chunks", 208e6, 121), ("dpdk", "DPDK rte_ring, SP/SC", 160e6, 125),
    ("dpdk-zc", "DPDK rte_ring, zero-copy, SP/SC", 161e6, 124), ("boost-spsc", "Boost.Lockfree spsc_queue", 190e6, 122),
    ("folly", "folly ProducerConsumerQueue", 180e6, 118), ("crossbeam", "crossbeam ArrayQueue", 35e6, 190),
    ("iceoryx2", "iceoryx2", 22e6, 240), ("aeron", "Aeron IPC", 30e6, 230),
    ("aeron-excl", "Aeron IPC, exclusive", 38e6, 220),
    ("chronicle", "Chronicle Queue", 12e6, 700), ("disruptor", "LMAX Disruptor", 90e6, 140),
    ("agrona", "Agrona OneToOneRingBuffer", 60e6, 160), ("zeromq", "ZeroMQ ipc://", 4e6, 15000),
    ("nng", "nng", 0.9e6, 21000), ("pipe", "pipe", 1.1e6, 9000), ("mqueue", "POSIX message queue", 1.5e6, 8000),
    ("unix", "Unix socket, SEQPACKET", 0.8e6, 11000), ("dds", "Fast DDS, shared memory", 0.3e6, 30000),
]


# ---- results that are made here ----


def base(impl, name, case, **more):
    row = {"impl": impl, "name": name, "case": case, "size": 8, "how": "single", "batch": 1, "ring": "best",
           "publishers": 1, "subscribers": 1, "capacity": 65536, "floor_ns": 120.0, "floor_best_ns": 118.5,
           "floor_paused_ns": 96.1, "between": "processes", "lacks": [], "settings": "as it comes", "version": "1.0",
           "discarded": 0, "lost": 0, "warnings": [], "commit": "abc1234", "date": "2026-11-25T05:00:00Z",
           "machine": MACHINE}
    if impl not in ("aether", "aether-cas"):
        row["lacks"] = ["names", "crash safety", "a mascot"]
    return {**row, **more}


def rate_row(impl, name, rate, case="throughput", **more):
    floor = more.get("floor_ns", 120.0)
    return base(impl, name, case, msgs_per_s=rate, msgs_per_s_min=0.99 * rate, msgs_per_s_max=1.01 * rate,
                runs=[0.99 * rate, rate, 1.01 * rate], msgs_per_floor=rate * floor / 1e9,
                msgs_per_floor_min=0.99 * rate * floor / 1e9, msgs_per_floor_max=1.01 * rate * floor / 1e9, **more)


def latency_row(impl, name, p50, case="rtt", seed=1, **more):
    chance = random.Random(seed)
    samples = sorted(int(p50 * (1 + 0.02 * chance.paretovariate(1.1))) for _ in range(4000))
    hist = {}
    for sample in samples:
        sample = int(f"{sample:.3g}".split("e")[0]) if sample < 1000 else int(float(f"{sample:.3g}"))
        hist[sample] = hist.get(sample, 0) + 1
    at = lambda share: float(samples[int(share * len(samples))])
    return base(impl, name, case, p50_ns=at(.5), p90_ns=at(.9), p99_ns=at(.99), p999_ns=at(.999), max_ns=samples[-1],
                runs=[0.98 * at(.5), at(.5), 1.03 * at(.5)], hist=[list(pair) for pair in sorted(hist.items())], **more)


@functools.cache
def full_results():
    """Every case, as many implementations as there may be."""
    found = []
    for number, (impl, name, rate, p50) in enumerate(PEERS):
        for size in (8, 32, 64, 256, 1024, 4096):
            for ring in ("equal", "best"):
                slower = rate / (1 + size / 200)
                found.append(rate_row(impl, name, slower, size=size, ring=ring))
                if number < 9:
                    for batch in (32, 256):
                        found.append(rate_row(impl, name, 1.2 * slower, size=size, ring=ring, how="batch", batch=batch))
        for size in (8, 32):
            found.append(latency_row(impl, name, p50 * (1 + size / 500), seed=number, size=size, wait="spin"))
        if rate > 1e6:
            found.append(latency_row(impl, name, 0.6 * p50, "oneway", number, rate=1000000))
            found.append(latency_row(impl, name, 2 * p50, "oneway", number, rate=int(rate / 2), load=0.5))
        else:
            found.append(base(impl, name, "oneway", rate=1000000, unsupported=f"beyond its {rate / 1e6:.3g} M/s"))
        if number < 12:
            unfair = ["not fair on two cores: all publishers share a core"]
            for count in (2, 4, 8):
                slower = rate / (1 + count / 4)
                found.append(rate_row(impl, name, slower, "publishers", publishers=count, warnings=unfair))
                found.append(rate_row(impl, name, rate / count, "fanout", subscribers=count, warnings=unfair))
        found.append(base(impl, name, "idle", cpu=0.0001 * (number + 1), wait="block"))
    for size, rate in ((65536, 492e3), (1048576, 31.9e3)):
        found.append(rate_row("aether", "Aether", rate, size=size, how="loan"))
    for count in (1, 10, 10000):
        found.append(rate_row("aether", "Aether", 3e8, "topics", topics=count, open_ns=51000, bytes_each=1 << 20))
    found.append(latency_row("aether", "Aether", 450000, "join"))
    found.append(latency_row("aether", "Aether", 11600, "wakeup", rate=1000, wait="block"))
    found.append(rate_row("aether", "Aether", 1e8, "oversubscribed", wait="block"))
    found.append(base("aether", "Aether", "instructions", op="publish 8 B", compiler="gcc 12.2.0", instructions=17.0))
    found.append({"impl": "tachyon", "case": "peer", "skipped": "no Debian package | <b>"})
    found.append({"impl": "aether", "case": "weather", "sunny": True})
    return found


def history_line(commit, day, key, value, spread=0.01, **more):
    return {"commit": commit, "date": f"2026-11-{day:02}T05:00:00Z", "key": key, "msgs_per_floor": value,
            "min": value * (1 - spread), "max": value * (1 + spread), **more}


KEY = "throughput/8/single/1/best/1/1"
RTT_KEY = "rtt/8/single/1/best/1/1"


# ---- running the programs ----


SCRATCH = tempfile.TemporaryDirectory()


def lines_of(rows):
    return rows if isinstance(rows, bytes) else "".join(json.dumps(row) + "\n" for row in rows).encode()


class Place:
    """A directory with results and a history."""

    def __init__(self, results=None, history=None):
        self.path = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH.name))
        self.results, self.history, self.out = self.path / "results.jsonl", self.path / "history", self.path / "out"
        if results is not None:
            self.results.write_bytes(lines_of(results))
        if history is not None:
            self.history.mkdir()
            self.history_file().write_bytes(lines_of(history))

    def history_file(self):
        return self.history / f"{MACHINE['fingerprint']}.jsonl"

    def run(self, program, *words):
        options = ["--results", self.results, "--history", self.history]
        if program == "report.py":
            options += ["--out", self.out]
        return subprocess.run([sys.executable, "-B", HERE / program, *words, *options], capture_output=True,
                              env={**os.environ, "PYTHONUTF8": "1"}, encoding="utf-8", timeout=120, check=False)


def expect(condition, what):
    if not condition:
        raise AssertionError(str(what)[-1500:])


def expect_run(done, status, *parts):
    everything = done.stdout + done.stderr
    expect(done.returncode == status, f"exit status {done.returncode}, not {status}: {everything}")
    for part in parts:
        expect(part in everything, f"not said: {part!r} in: {everything}")
    expect("Traceback" not in everything, everything)


def expect_one_line(done, *parts):
    expect_run(done, 1, *parts)
    expect(done.stderr.count("\n") == 1, f"not one line: {done.stderr}")


# ---- numbers ----


def numbers_for_people():
    """numbers are told with three digits and a unit"""
    for value, text in ((304e6, "304 M/s"), (999.7e3, "1.00 M/s"), (12, "12.0/s"), (1.5e9, "1.50 G/s")):
        expect(r.rate(value) == text, (value, r.rate(value)))
    for value, text in ((1.56e6, "1.56 ms"), (114, "114 ns"), (11600, "11.6 µs"), (2e9, "2.00 s"), (0, "0 ns")):
        expect(r.duration(value) == text, (value, r.duration(value)))
    for value, text in ((8, "8 B"), (1024, "1 KiB"), (65536, "64 KiB"), (1 << 20, "1 MiB"), (1536, "1.50 KiB")):
        expect(r.size(value) == text, (value, r.size(value)))
    expect(r.rate(304e6, (300e6, 310e6)) == "304 M/s (300 to 310)", r.rate(304e6, (300e6, 310e6)))
    expect(r.byte_rate(50e9) == "50.0 GB/s", r.byte_rate(50e9))
    for value, text in ((1234.5, "1230"), (37.25, "37.2"), (0.0361, "0.0361"), (9.999, "10.0"), (1e-7, "1.00e-07")):
        expect(r.three(value) == text, (value, r.three(value)))


def plain_text():
    """text is one line without control characters, and not endless"""
    expect(r.plain("a\x1b[31m\nb\u202e\tc\ud800") == "a [31m b c", repr(r.plain("a\x1b[31m\nb\u202e\tc\ud800")))
    expect(len(r.plain("x" * 100000)) == r.TEXT_MAX, "too long")


# ---- hostile results ----


def broken_lines():
    """a broken line is told with file, number and what would be right, by both programs"""
    good = json.dumps(rate_row("aether", "Aether", 3e8)).encode() + b"\n"
    def line(**change):
        return json.dumps({**rate_row("aether", "Aether", 3e8), **change}).encode()
    broken = [
        (b'{"impl": "aether", "ca', "not JSON"), (b"[1, 2]", "must be a JSON object"), (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100000, "nested too deeply"), (line(case=7), '"case" must be a string'), (b"7" * 5000, ":2: "),
        (line(impl="../../etc"), '"impl" must be'), (line(impl=None), '"impl" is missing'),
        (line(msgs_per_s=0), '"msgs_per_s" must be'), (line(msgs_per_s=None), '"msgs_per_s" is missing'),
        (line(msgs_per_s="fast"), '"msgs_per_s" must be'), (line(msgs_per_s=True), '"msgs_per_s" must be'),
        (line(msgs_per_s=float("nan")), "NaN"), (line(floor_ns=float("inf")), "Infinity"),
        (line(msgs_per_s=1).replace(b'"msgs_per_s": 1', b'"msgs_per_s": 1e999'), '"msgs_per_s" must be'),
        (line(floor_ns=10 ** 400), '"floor_ns" must be'), (line(floor_ns=-1), '"floor_ns" must be'),
        (line(size=-8), '"size" must be'), (line(size=8.5), '"size" must be'), (line(how="telepathy"), '"how" must be'),
        (line(ring="golden"), '"ring" must be'), (line(lacks="names"), '"lacks" must be'),
        (line(runs=[1, "x"]), '"runs" must be'), (line(machine=[]), '"machine" must be'),
        (line(machine={"fingerprint": "../../ab"}), "8 hex digits"), (line(hist=[[1, 2], [1, 2]]), "rising"),
        (line(hist=[[1]]), '"hist" must be'), (line(commit="a b"), '"commit" must be'),
        (line(date="now"), '"date" must be'), (line(msgs_per_s_min=5e8), "at most"),
        (line(case="rtt"), '"p50_ns" is missing'),
        (line(case="peer"), '"skipped" is missing'), (line(case="instructions", instructions=1), '"op" is missing'),
    ]
    for number, (text, what) in enumerate(broken):
        place = Place(good + text + b"\n")
        try:
            r.load(place.results)
            raise AssertionError(f"taken: {text[:80]!r}")
        except r.Broken as error:
            expect(f"{place.results}:2: " in str(error) and what in str(error), f"{text[:80]!r}: {error}")
            expect("\n" not in str(error) and len(str(error)) < 1000, f"not one short line: {error}")
        if number % 8 == 0:
            for program in ("report.py", "check.py"):
                expect_one_line(place.run(program), ":2: ", what)


def long_line():
    """a line without an end isn't read to its end"""
    limit, r.LINE_MAX = r.LINE_MAX, 1000
    try:
        r.load(Place(b" " * 1001 + b"{}\n").results)
        raise AssertionError("taken")
    except r.Broken as error:
        expect("longer than 1000 bytes" in str(error), error)
    finally:
        r.LINE_MAX = limit


def no_results():
    """no file, an empty one and one with unknown cases only are told"""
    for program in ("report.py", "check.py"):
        expect_one_line(Place().run(program), "can't be read", "make bench")
        expect_one_line(Place([]).run(program), "holds no results", "make bench")
        expect_one_line(Place([{"impl": "x", "case": "weather"}]).run(program), "holds no results")


def unknown_is_passed_over():
    """unknown cases, unknown keys and null are passed over, and the last row of a cell counts"""
    rows = r.load(Place([{"case": "weather"}, rate_row("aether", "Aether", 1e8, colour="red", wait=None),
                         rate_row("aether", "Aether", 2e8)]).results)
    expect(len(rows) == 1 and rows[0]["msgs_per_s"] == 2e8 and "colour" not in rows[0], rows)
    failed = r.clean(base("aether", "Aether", "rtt", failed="no daemon"))
    expect(not r.is_measured(failed) and failed["unsupported"] == "failed: no daemon", failed)
    slow = r.clean(rate_row("zeromq", "ZeroMQ", 2000, msgs_per_s_note=1) | {"msgs_per_floor": 0.0,
                   "msgs_per_floor_min": 0.0, "msgs_per_floor_max": 0.0})
    expect(abs(r.per_floor(slow)[0] - 2000 * 120e-9) < 1e-12, "a rounded figure per floor is worked out again")


def usage():
    """unknown words and options are refused with exit status 2"""
    place = Place([rate_row("aether", "Aether", 3e8)])
    for program, word in (("report.py", "--colour"), ("report.py", "--js"), ("report.py", "word"),
                          ("check.py", "--all"), ("check.py", "remove")):
        expect_run(place.run(program, word), 2, "usage:")
    expect_run(place.run("report.py", "--json", "--text"), 2, "usage:")


# ---- report ----


def full_report():
    """the report of all cases has its tables and well-formed plots"""
    history = [history_line(f"c{i:07}", i + 1, KEY, 36 + i % 3) for i in range(12)]
    place = Place(full_results(), history)
    expect_run(place.run("report.py"), 0, "results.md")
    text = (place.out / "results.md").read_text(encoding="utf-8")
    plots = {path.name for path in place.out.glob("*.svg")}
    wanted = {"throughput-single.svg", "throughput-batch.svg", "rtt.svg", "oneway.svg", "publishers.svg", "fanout.svg",
              "history-0123abcd.svg"}
    expect(plots == wanted, plots)
    for path in place.out.glob("*.svg"):
        xml.etree.ElementTree.parse(path)
        expect(f"({path.name})" in text, f"{path.name} isn't shown")
    for title in report.TITLES.values():
        expect(f"## {title}" in text, title)
    for part in ("**Aether**", "no Debian package \\| &lt;b&gt;", "not fair on two cores", "a mascot", "beyond its",
                 "DPDK rte\\_ring", "0123abcd", "floor | best 118 ns, median 120 ns (120 ns to 120 ns over", "292 M/s"):
        expect(part in text, f"not in the report: {part}")
    expect("weather" not in text and "nan" not in text and "None" not in text, "what must not be there")
    width = None
    for line in text.splitlines():  # each row of a table has as many cells as its heading
        cells = line.replace("\\|", "").count("|") if line.startswith("|") else None
        expect(cells is None or width is None or cells == width, line)
        width = cells


def report_is_repeatable():
    """the same results give the same files, byte by byte"""
    texts = []
    for _ in range(2):
        place = Place(full_results())
        expect_run(place.run("report.py"), 0)
        texts.append({path.name: path.read_bytes() for path in place.out.iterdir()})
    expect(texts[0] == texts[1], "they differ")


def ranking():
    """rows are sorted by the main figure, with the best peer and the ratio to Aether"""
    rows = [r.clean(row) for row in (rate_row("a", "A", 1e8), rate_row("aether", "Aether", 3e8),
                                     rate_row("b", "B", 2e8), rate_row("aether-cas", "Cas", 2.5e8),
                                     latency_row("a", "A", 100), latency_row("aether", "Aether", 50),
                                     latency_row("b", "B", 25))]
    cases = report.summary(rows)["cases"]
    for case, order, best, ratio in (("throughput", ["aether", "aether-cas", "b", "a"], "b", 1.5),
                                     ("rtt", ["b", "aether", "a"], "b", 2.0)):
        entry = cases[case][0]
        expect([row["impl"] for row in entry["rows"]] == order, entry["rows"])
        expect(entry["best_peer"] == best and abs(entry["aether_to_best_peer"] - ratio) < 0.1, entry)


def goals():
    """goals are reached, not reached, or not measured, and say by what"""
    def verdict(rows, *start):
        rows = [r.clean(row) for row in rows]
        goal = next(goal for goal in report.GOALS if goal[:len(start)] == start)
        return report.judged(rows, goal)
    def said(found, verdict, part):
        expect(found["verdict"] == verdict and part in found["value"], found)
    single = ("throughput", 8, "single", 1, "best")
    said(verdict([rate_row("aether", "A", 600.1e6)], *single, "per floor"), "reached", "72.0 messages per floor")
    said(verdict([rate_row("aether", "A", 304e6)], *single, "per floor"), "not reached", "36.5")
    said(verdict([rate_row("aether", "A", 304e6, ring="equal")], *single, "per floor"), "not measured", "no such row")
    said(verdict([base("aether", "A", "throughput", unsupported="why")], *single), "not measured", "why")
    three = [rate_row("aether", "A", 3e8), rate_row("b", "B", 2e8), rate_row("c", "C", 1e8)]
    said(verdict(three, *single, "best peer"), "reached", "1.50 × B")
    said(verdict([rate_row("aether", "A", 3e8), rate_row("aether-cas", "C", 9e8)], *single, "best peer"),
         "not measured", "no such peer")
    batch = {"how": "batch", "batch": 32}
    said(verdict([rate_row("aether", "A", 3e8, **batch), rate_row("rtrb-chunk", "rtrb", 4e8, **batch),
                  rate_row("b", "B", 9e8, **batch)], "throughput", 8, "batch", 32, "best", "rtrb"),
         "not reached", "0.750 × rtrb")
    said(verdict([latency_row("aether", "A", 100)], "rtt", 8, "single", 1, None, "floors"), "reached", "floors")
    said(verdict([latency_row("aether", "A", 100), latency_row("b", "B", 101)], "rtt", 8, "single", 1, None, "tail"),
         "reached", "B")
    tail = latency_row("b", "B", 120) | {"p999_ns": 100.0}
    said(verdict([latency_row("aether", "A", 100), tail], "rtt", 8, "single", 1, None, "tail"), "not reached", "p99.9")
    at_rate = {"case": "oneway", "rate": 1000000}
    said(verdict([latency_row("aether", "A", 50, **at_rate), latency_row("aeron", "Aeron", 700, **at_rate)],
                 "oneway", 8, "single", 1, None, "aeron p99"), "reached", "× better than Aeron")
    said(verdict([rate_row("aether", "A", 8e5, size=65536, how="loan")], "throughput", 65536, "loan"), "reached",
         "52.4 GB/s")
    off = ("throughput", 8, "single", 1, "best", "latency off")
    said(verdict([rate_row("aether", "A", 2.9e8), rate_row("aether-latency-off", "Off", 3e8)], *off), "reached",
         "0.967 × Off")
    said(verdict([rate_row("aether", "A", 2.7e8), rate_row("aether-latency-off", "Off", 3e8)], *off), "not reached",
         "0.900 × Off")
    said(verdict([rate_row("aether", "A", 2.7e8), rate_row("b", "B", 1e8)], *off), "not measured", "missing")
    said(verdict([latency_row("aether", "A", 100), latency_row("aether-latency-off", "Off", 90)],
                 "rtt", 8, "single", 1, None, "latency off"), "not reached", "0.90")
    far = rate_row("aether", "A", 304e6, floor_ns=530.0)
    said(verdict([far, rate_row("b", "B", 1e8, floor_ns=118.0)], *single, "per floor"), "not measured", "far apart")


def aether_alone():
    """a single implementation, a single row, and only unsupported rows give a report"""
    place = Place([rate_row("aether", "Aether", 304e6)])
    expect_run(place.run("report.py"), 0, "1 rows, 0 plots")
    expect_run(place.run("report.py", "--text"), 0, "304 M/s (301 to 307)", "36.5")
    place = Place([latency_row("b", "B", 100), base("aether", "Aether", "rtt", unsupported="no daemon")])
    expect_run(place.run("report.py"), 0, "1 plots")
    expect("no daemon" in (place.out / "results.md").read_text(encoding="utf-8"), "why isn't told")
    place = Place([{"impl": "b", "case": "rtt", "size": 8, "unsupported": "why"},
                   {"impl": "c", "case": "peer", "skipped": "gone"}])
    expect_run(place.run("report.py"), 0, "0 plots")
    expect_run(place.run("report.py", "--text"), 0, "why", "gone")
    expect_run(Place([{"impl": "aether", "case": "join", "p50_ns": 5}]).run("report.py"), 0)


def json_summary():
    """--json prints one object and writes nothing"""
    place = Place(full_results())
    done = place.run("report.py", "--json")
    expect_run(done, 0)
    found = json.loads(done.stdout)
    expect(found["fingerprints"] == ["0123abcd"] and found["floor"]["median_ns"] == 120, found["floor"])
    expect(len(found["goals"]) == len(report.GOALS) and set(found["cases"]) == set(report.TITLES), list(found))
    expect("hist" not in done.stdout and not place.out.exists(), "too much")


def text_tables():
    """--text prints aligned columns and writes nothing"""
    place = Place(full_results())
    done = place.run("report.py", "--text")
    expect_run(done, 0, *report.TITLES.values(), "Goals", "missing: tachyon")
    lines = done.stdout.splitlines()
    heading = next(i for i, line in enumerate(lines) if "Aether ÷ this" in line)
    column = lines[heading].index("Aether ÷ this") + len("Aether ÷ this")
    expect(all(len(line) >= column and line[column:column + 2].strip() == "" and line[column - 1].isdigit()
               for line in lines[heading + 1:heading + 20]), "the columns aren't aligned")
    expect(not place.out.exists(), "files were written")


def hostile_names():
    """names can't break out of a table or a plot"""
    name = "<script>|`a`\n**x** & \"q\" ]]> \x1b[1m"
    place = Place([rate_row("b", name, 1e8, size=size, settings=name) for size in (8, 32)])
    expect_run(place.run("report.py"), 0)
    text = (place.out / "results.md").read_text(encoding="utf-8")
    expect("<script>" not in text and "\x1b" not in text and "**x**" not in text, text)
    xml.etree.ElementTree.parse(place.out / "throughput-single.svg")
    done = place.run("report.py", "--text")
    expect("\x1b" not in done.stdout, "a terminal would obey")


# ---- plots ----


def text_boxes(document):
    """(left, top, right, bottom, text) of what is written upright in a plot, as wide as it can get."""
    boxes = []
    for one in xml.etree.ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}text"):
        if one.get("transform"):
            continue
        size, x, y = float(one.get("font-size")), float(one.get("x")), float(one.get("y"))
        width = len(one.text) * size * svg.LETTER
        left = x - {"start": 0, "middle": width / 2, "end": width}[one.get("text-anchor")]
        boxes.append((left, y - 0.8 * size, left + width, y + 0.2 * size, one.text))
    return boxes


def no_overlaps():
    """no two texts of a plot overlap, and all are inside"""
    rows = [r.clean(row) for row in full_results()]
    rows = [row for row in rows if row]
    history = Place([], [history_line(f"c{i:07}", i % 28 + 1, KEY, 36 + i % 3) for i in range(60)])
    plots = report.all_plots(rows, report.summary(rows), history.history)
    expect(len(plots) == 7, list(plots))
    for file, (_, _, document) in plots.items():
        wide = float(xml.etree.ElementTree.fromstring(document).get("width"))
        boxes = text_boxes(document)
        for i, one in enumerate(boxes):
            expect(one[0] >= 0 and one[2] <= wide + 1, f"{file}: outside: {one}")
            for other in boxes[i + 1:]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                expect(apart, f"{file}: {one} and {other}")


def telling_apart():
    """no two lines of a plot look alike, and Aether's is the thickest"""
    looks = [svg.style(svg.Series("", [(1, 1)], False, look)) for look in range(32)]
    own = [svg.style(svg.Series("", [(1, 1)], True, look)) for look in range(4)]
    found = looks + own
    expect(len({one[:2] for one in found}) == 28 + 4 and len(set(found)) == 36, "two look alike")
    expect(all(one[3] < own[0][3] for one in looks + own[1:]), "Aether doesn't stand out")


def curves():
    """a latency curve rises, ends at the largest sample and has few points"""
    row = r.clean(latency_row("aether", "Aether", 114))
    points = report.curve(row)
    expect(points == sorted(points) and [y for _, y in points] == sorted(y for _, y in points), "it falls")
    expect(points[-1] == (8000, row["hist"][-1][0]) and len(points) < 1500, points[-1])
    del row["hist"]
    expect([round(x) for x, _ in report.curve(row)] == [2, 10, 100, 1000], report.curve(row))


def axes():
    """axes end at round numbers around the values"""
    axis = svg.log_axis("", [0.9, 304], str)
    expect((axis.low, axis.high) == (0.5, 500) and len(axis.ticks) == 10, axis)
    axis = svg.log_axis("", [5, 5], str)
    expect(axis.low < 5 < axis.high, axis)
    axis = svg.log_axis("", [1e-9, 1e18], str)
    expect(len(axis.ticks) < 40, axis)
    expect(svg.spread([5, 5, 5, 99], 10, 0, 100) == [5, 15, 25, 99], svg.spread([5, 5, 5, 99], 10, 0, 100))
    expect(svg.spread([99, 99, 99], 10, 0, 100) == [80, 90, 100], svg.spread([99, 99, 99], 10, 0, 100))


# ---- check ----


def add_to_history():
    """add writes a line a key; a later result of the same commit replaces it, and others stay"""
    place = Place([rate_row("aether", "Aether", 3e8), latency_row("aether", "Aether", 114), rate_row("b", "B", 1e8),
                   base("aether", "Aether", "idle", cpu=0.1), base("aether", "Aether", "fanout", unsupported="no"),
                   latency_row("aether", "Aether", 60, "oneway", rate=1000000),
                   latency_row("aether", "Aether", 90, "oneway", rate=99, load=0.5)],
                  [history_line("old", 1, KEY, 36)])
    expect_run(place.run("check.py", "add"), 0, "4 lines added")
    lines = [json.loads(line) for line in place.history_file().read_text().splitlines()]
    expect({line["key"] for line in lines} == {KEY, RTT_KEY, "oneway/8/single/1/best/1/1/1000000",
                                               "oneway/8/single/1/best/1/1/load-0.5"}, lines)
    expect(len(lines) == 5 and lines[0]["commit"] == "old", lines)
    place.results.write_text(json.dumps(rate_row("aether", "Aether", 2e8)) + "\n")
    expect_run(place.run("check.py", "add"), 0, "0 lines added, 1 replaced")
    lines = [json.loads(line) for line in place.history_file().read_text().splitlines()]
    found = [line for line in lines if line["key"] == KEY and line["commit"] == "abc1234"]
    expect(len(lines) == 5 and len(found) == 1 and abs(found[0]["msgs_per_floor"] - 24) < 1e-6, found)
    tiny = rate_row("aether", "Aether", 1e-9)
    place.results.write_text(json.dumps(tiny) + "\n")
    expect_one_line(place.run("check.py", "add"), "can't go into the history")
    expect(len(place.history_file().read_text().splitlines()) == 5, "it is in the history")
    expect([path.name for path in place.history.iterdir()] == ["0123abcd.jsonl"], "something else was left there")


def nothing_to_compare():
    """no history, one of this commit only, and rows without a floor are told"""
    rows = [rate_row("aether", "Aether", 3e8)]
    expect_run(Place(rows).run("check.py"), 0, "no history of other commits")
    expect_run(Place(rows, [history_line("abc1234", 1, KEY, 99)]).run("check.py"), 0, "no history of other commits")
    expect_one_line(Place([rate_row("b", "B", 3e8)]).run("check.py"), "no row of Aether with a floor")
    expect_one_line(Place([rate_row("aether", "Aether", 3e8, commit=None)]).run("check.py", "add"), "a commit")


def steady(value, count=8, key=KEY, spread=0.01):
    return [history_line(f"c{i}", i + 1, key, value * (1 + 0.002 * (i % 3 - 1)), spread) for i in range(count)]


def regressions():
    """slower by more than the noise is exit status 1; within it, faster, and a new key are not"""
    history = steady(36)
    for rate, status, part in ((3e8, 0, "nothing is slower"), (2.93e8, 0, "nothing is slower"),
                               (2.8e8, 1, f"slower: {KEY}: 33.6, was 36.0 (-6.7 %, noise up to 3.0 %)"),
                               (3.3e8, 0, "faster")):
        expect_run(Place([rate_row("aether", "Aether", rate)], history).run("check.py"), status, part)
    new = Place([rate_row("aether", "Aether", 3e8), rate_row("aether", "Aether", 1e8, size=32)], history)
    expect_run(new.run("check.py"), 0, "throughput/32/single/1/best/1/1", "new")
    gone = Place([rate_row("aether", "Aether", 3e8)], history + steady(1.0, key=RTT_KEY))
    expect_run(gone.run("check.py"), 0, "not measured this time: 1 ")


def latency_regressions():
    """for a latency more is slower"""
    row = latency_row("aether", "Aether", 114)
    now = row["p50_ns"] / 120
    for was, status, part in ((now, 0, "nothing is slower"), (now / 1.2, 1, f"slower: {RTT_KEY}"),
                              (now * 1.2, 0, "faster")):
        expect_run(Place([row], steady(was, key=RTT_KEY)).run("check.py"), status, part)


def learned_noise():
    """the band grows with the spread of the rows and the wandering of the history"""
    now = (36.0, 35.64, 36.36)
    quiet = check.band_of(now, steady(36))
    expect(abs(quiet - 0.03) < 1e-9, quiet)
    wide = check.band_of(now, steady(36, spread=0.1))
    expect(abs(wide - 0.15) < 1e-9, wide)
    wild = [history_line(f"c{i}", i + 1, KEY, 36 * (1 + (0.06 if i % 2 else -0.06))) for i in range(8)]
    expect(check.band_of(now, wild) > 0.1, check.band_of(now, wild))
    step = [history_line(f"c{i}", i + 1, KEY, 36 if i < 8 else 72) for i in range(16)]
    expect(abs(check.band_of(now, step) - 0.03) < 1e-9, "a step counts as noise")
    expect(check.band_of(now, steady(36, 1)) == 0.10, check.band_of(now, steady(36, 1)))
    alone = check.band_of(now, steady(36, 1, spread=0.2))
    expect(abs(alone - 0.4) < 1e-9, alone)


def reference_is_recent():
    """the reference is the median of the last 8 other commits, by date"""
    history = steady(72, 8) + [history_line(f"n{i}", 10 + i, KEY, 36) for i in range(8)]
    history.reverse()
    row = r.clean(rate_row("aether", "Aether", 3e8))
    place = Place([], history + [history_line("abc1234", 28, KEY, 500)])
    verdict = check.compared(KEY, row, r.load_history(place.history_file()))
    expect(verdict.reference == 36 and not verdict.slower and not verdict.faster, verdict)


def other_distance():
    """what was measured with the cores at another distance isn't compared"""
    near = [line | {"floor_ns": 120.0} for line in steady(36)]
    far = rate_row("aether", "Aether", 2e8, floor_ns=520.0)
    expect_run(Place([far], near).run("check.py"), 0, "not judged")
    place = Place([far], near + [line | {"commit": f"f{i}", "floor_ns": 500.0} for i, line in enumerate(steady(208))])
    expect_run(place.run("check.py"), 1, "slower:", "104, was 208")


def broken_history():
    """a broken line of the history is told, and add leaves the file as it was"""
    good = json.dumps(history_line("old", 1, KEY, 36)).encode() + b"\n"
    for text, what in ((b'{"commit": "x"', "not JSON"), (b"[]", "must be a JSON object"), (b"{}", "is missing"),
                       (json.dumps(history_line("x", 1, "../../key", 36)).encode(), '"key" must be'),
                       (json.dumps(history_line("x", 1, KEY, 0)).encode(), '"msgs_per_floor" must be'),
                       (json.dumps(history_line("x", 1, KEY, 36) | {"min": 40}).encode(), "must be from")):
        place = Place([rate_row("aether", "Aether", 3e8)], good + text + b"\n")
        for words in ([], ["add"]):
            expect_one_line(place.run("check.py", *words), f"{place.history_file()}:2: ", what)
        expect(place.history_file().read_bytes() == good + text + b"\n", "the file was changed")
        expect_one_line(place.run("report.py"), ":2: ")


CASES = [numbers_for_people, plain_text, broken_lines, long_line, no_results, unknown_is_passed_over, usage,
         full_report, report_is_repeatable, ranking, goals, aether_alone, json_summary, text_tables, hostile_names,
         no_overlaps, telling_apart, curves, axes, add_to_history, nothing_to_compare, regressions, latency_regressions,
         learned_noise, reference_is_recent, other_distance, broken_history]


def main():
    failures = 0
    print(f"1..{len(CASES)}", flush=True)
    for number, case in enumerate(CASES, 1):
        name = f"{number} - {case.__doc__}"
        try:
            case()
            print(f"ok {name}", flush=True)
        except Exception:  # a failure of any kind is one case's and not the end of the others
            failures += 1
            print(f"not ok {name}", flush=True)
            for text in traceback.format_exc().splitlines():
                print(f"# {text[:2000]}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
