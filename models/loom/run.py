#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - runs the ring's C code under loom: the models hold, and every mutant of the code is caught.

usage: run.py [--smoke] [--list] [--tap] [--jobs N] [MODEL | MODEL/NAME]...

A run is one model against one library, which is made of the ring's sources with every access of shared memory replaced
by a call of the harness. "clean" must be searched completely without a failure. A mutant is the same sources with one
replacement of text, which must be found exactly once; the failure that the table expects must be found.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import table  # noqa: E402

ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "build-loom"))
PROGRAM = TARGET / "release" / "aether-loom"
SOURCES = ("src/base/histogram.c", "src/base/text.c",
           *(f"src/ring/{name}.c" for name in ("claim", "claimer", "commit", "figures", "flow", "hold", "join", "lane",
                                               "loan", "publish", "receive", "stats", "topic")))
GLUE = "models/loom/glue.c"
SECONDS = 600  # a run that takes longer has failed

# What a failure may be: an assertion of the harness, or a data race on a payload that nobody may overwrite.
CLEAN, WRONG, RACE = "clean", "wrong", "race"

PUBLISH_H = "include/aether/publish.h"
SUBSCRIBE_H = "include/aether/subscribe.h"
CLAIM = "src/ring/claim.c"
CLAIMER = "src/ring/claimer.c"
COMMIT = "src/ring/commit.c"
FIGURES = "src/ring/figures.c"
FIGURES_TEST = "src/ring/figures_test.h"
FLOW = "src/ring/flow.c"
JOIN = "src/ring/join.c"
LANE = "src/ring/lane.c"
RECEIVE = "src/ring/receive.c"
STATS = "src/ring/stats.c"
TOPIC = "src/ring/topic.c"

def swap(file, text, old, new):
    """The same text with one word in it replaced: most mutants are a weaker access."""
    assert text.count(old) == 1, (text, old)
    return (file, text, text.replace(old, new))


# Name: replacements of a text, which must be found exactly once, in a file.
MUTANTS = {
    # ---- a message ----
    "NOBUSY": [(PUBLISH_H, "ae_store_relaxed(tag, ae_tag_busy(seq));\n    ae_fence_release();\n    if",
                "ae_fence_release();\n    if")],
    "NOW1": [(PUBLISH_H, "ae_fence_release();\n    if", "if")],
    "W2": [swap(PUBLISH_H, "len);\n    /* W2 release, pairs R1 (receive): a subscriber that sees the tag sees the payload. */\n"
                           "    ae_store_release(tag", "ae_store_release", "ae_store_relaxed")],
    "WORDNOBUSY": [(PUBLISH_H, "ae_store_relaxed(tag, ae_tag_busy(seq));\n    ae_fence_release(); /*",
                    "ae_fence_release(); /*")],
    "WORDNOW1": [(PUBLISH_H, "ae_fence_release(); /* W1 and W2", "/* W1 and W2")],
    "WORDW2": [swap(PUBLISH_H, "words, len);\n    ae_store_release(tag", "ae_store_release", "ae_store_relaxed")],
    "R1": [swap(SUBSCRIBE_H, "ae_load_acquire((const ae_u64 *)(const void *)slot)", "acquire", "relaxed")],
    "R1SLOW": [swap(RECEIVE, "slot.tag = ae_load_acquire(", "acquire", "relaxed")],
    "NOV1": [(RECEIVE, "    ae_fence_acquire();\n", "")],
    "NOCHECK": [(RECEIVE, "return ae_load_relaxed((const ae_u64 *)(const void *)slot->bytes) == slot->tag;",
                 "return true;")],
    # ---- messages outside the inline path, which may have a stamp ----
    "COMMITNOBUSY": [(COMMIT, "    ae_store_relaxed(tag, ae_tag_busy(seq));\n    ae_fence_release();\n",
                      "    ae_fence_release();\n")],
    "COMMITNOW1": [(COMMIT, "    ae_fence_release();\n", "")],
    "COMMITW2": [swap(COMMIT, "ae_store_release(tag, ", "release", "relaxed")],
    "EARLYSTAMP": [(COMMIT, "    ae_store_relaxed(tag, ae_tag_busy(seq));\n",
                    "    const uint64_t kind = AE_KIND_INLINE + ae_stamp(p, seq);\n"
                    "    ae_store_relaxed(tag, ae_tag_busy(seq));\n"),
                   (COMMIT, "AE_KIND_INLINE + ae_stamp(p, seq), len", "kind, len")],
    "LATESTAMP": [(COMMIT, "AE_KIND_INLINE + ae_stamp(p, seq), len));",
                   "AE_KIND_INLINE + (ae_stamp_due(p, seq) ? AE_KIND_STAMPED : 0), len));\n    (void)ae_stamp(p, seq);")],
    "LANELATESTAMP": [(LANE, "AE_KIND_LANE + ae_stamp(p, seq), sizeof *descriptor));",
                       "AE_KIND_LANE + (ae_stamp_due(p, seq) ? AE_KIND_STAMPED : 0), sizeof *descriptor));\n"
                       "    (void)ae_stamp(p, seq);")],
    "NOSTAMPCHECK": [swap(RECEIVE, "ae_stats_received(s, stamp, unchanged(slot))", "unchanged(slot)", "true")],
    # ---- figures ----
    "M1": [swap(STATS, "ae_store_release(&record->flips,", "release", "relaxed")],
    "M2": [swap(FIGURES, "flips = ae_load_acquire(&record->flips)", "acquire", "relaxed")],
    "NOM3": [(STATS, "    ae_fence_release();\n", "")],
    "NOM4": [(FIGURES, "    ae_fence_acquire();\n", "")],
    "M5": [swap(FIGURES_TEST, "position = ae_load_acquire(", "acquire", "relaxed")],
    "ONECOPY": [(STATS, "record->account[(*flips + 1) & 1]", "record->account[*flips & 1]")],
    "LATEFIGURES": [(CLAIMER, "    ae_stats_begin_run(p, seq);\n"
                              "    ae_store_release(&p->own->intent, ae_intent(seq, count)); /* P4 */\n",
                     "    ae_store_release(&p->own->intent, ae_intent(seq, count)); /* P4 */\n"
                     "    ae_stats_begin_run(p, seq);\n")],
    "WONLATER": [(FIGURES, "won = word == ae_claim_word(intent.end, AE_MODE_SHARED, record) || "
                           "at_or_after(proved, intent.end);", "won = ae_claim_was_won(log, record, intent.end);")],
    # ---- claims ----
    "P1": [swap(CLAIMER, "word = ae_load_acquire(&p->log->claim.claim), last", "acquire", "relaxed")],
    "NOP3": [(CLAIMER, "if (last != p->record && last < AE_PUBLISHERS_MAX &&", "if (false &&")],
    "P3": [swap(CLAIMER, "ae_cas(proved, old, seq)", "ae_cas", "ae_cas_relaxed")],
    "P4": [swap(CLAIMER, "ae_store_release(&p->own->intent, ae_intent(seq, count))", "release", "relaxed")],
    "P4FAST": [swap(PUBLISH_H, "ae_store_release(intent, ", "release", "relaxed")],
    "NOP4": [(CLAIMER, "ae_store_release(&p->own->intent, ae_intent(seq, count)); /* P4 */", "")],
    "NOP4FAST": [(PUBLISH_H, "ae_store_release(intent, ae_intent(seq, count));", "")],
    "P5": [swap(CLAIMER, "return ae_cas(&p->log->claim.claim, word, mine)", "ae_cas", "ae_cas_acquire")],
    "P5ACQ": [swap(CLAIMER, "return ae_cas(&p->log->claim.claim, word, mine)", "ae_cas", "ae_cas_release")],
    "P5FAST": [swap(PUBLISH_H, "!ae_cas(claim,", "ae_cas", "ae_cas_acquire")],
    "P5FASTACQ": [swap(PUBLISH_H, "!ae_cas(claim,", "ae_cas", "ae_cas_release")],
    "P6": [swap(FLOW, "intent = ae_load_acquire(&p->log->publishers[r].intent)", "acquire", "relaxed")],
    "P6TAG": [swap(FLOW, "ae_tag_pending(ae_load_acquire(ae_slot_tag(p->log, &p->geometry, seq)), seq)",
                   "acquire", "relaxed")],
    "P6LAST": [(FLOW, "return (int64_t)(hold - seq) > 0 ? seq : hold;",
                "return (int64_t)(hold - last) > 0 ? last : hold;")],
    "NOP6": [(FLOW, "hold = pending_below(p, seq);", "hold = seq;")],
    "P9": [swap(FLOW, "open = ae_load_acquire(&p->log->stream.open)", "acquire", "relaxed")],
    "T1": [swap(JOIN, "ae_fetch_and(&p->log->stream.open,", "ae_fetch_and", "ae_fetch_and_relaxed")],
    # ---- repair ----
    "D2CLAIM": [swap(CLAIM, "return ae_load_acquire(&log->claim.claim) ==", "acquire", "relaxed")],
    "D2PROVED": [swap(CLAIM, "ae_load_acquire(&log->publishers[record].proved)", "acquire", "relaxed")],
    "NOD2": [(CLAIM, "if (!ae_claim_was_won(log, record, intent.end))", "if (false)")],
    "B3": [swap(CLAIM, "intent = ae_load_acquire(&log->publishers[record].intent)", "acquire", "relaxed")],
    "D3LOAD": [swap(CLAIM, "value = ae_load_acquire(tag)", "acquire", "relaxed")],
    "D3": [swap(CLAIM, "ae_cas(tag, value,", "ae_cas", "ae_cas_acquire")],
    "D3ACQ": [swap(CLAIM, "ae_cas(tag, value,", "ae_cas", "ae_cas_release")],
    "ABORTANY": [(CLAIM, "ae_tag_pending(value, seq) && ae_cas(tag", "ae_cas(tag")],
    "D4": [swap(TOPIC, "ae_fetch_and(&log->stream.open, ~bit)", "ae_fetch_and", "ae_fetch_and_relaxed")],
    # ---- joining, releasing, leaving ----
    "J4": [swap(CLAIM, "word = ae_load_acquire(&log->claim.claim);\n        seq =", "acquire", "relaxed")],
    "J3": [swap(JOIN, "ae_fetch_or(&s->cursors->active.active,", "ae_fetch_or", "ae_fetch_or_relaxed")],
    "NOJ1": [(JOIN, "    ae_fence_seq_cst();\n", "")],
    "NOJ2": [(FLOW, "    ae_fence_seq_cst(); ", "    ")],
    "F1": [swap(SUBSCRIBE_H, "ae_store_release(subscriber->cursor, seq);", "release", "relaxed")],
    "F2": [swap(FLOW, "seq - ae_load_acquire(cursor)", "acquire", "relaxed")],
    "F3": [swap(FLOW, "active = ae_load_acquire(&p->cursors->active.active)", "acquire", "relaxed")],
    "F4": [swap(JOIN, "ae_fetch_and(&s->cursors->active.active,", "ae_fetch_and", "ae_fetch_and_relaxed")],
    # ---- lanes ----
    "NOL1": [(LANE, "    ae_fence_release();\n    return lane->bytes", "    return lane->bytes")],
    "NOFLOOR": [(LANE, "    ae_store_relaxed(lane->floor, lane->head - lane->size);\n", "")],
    "L2": [swap(RECEIVE, "ae_load_acquire(&s->log->publishers[place->lane].lane_floor)", "acquire", "relaxed")],
    "NOL2": [(RECEIVE, "return unchanged(slot) && above_floor(s, place);", "return unchanged(slot);")],
    "LANENOBUSY": [(LANE, "ae_store_relaxed(tag, ae_tag_busy(seq));\n    ae_fence_release();\n"
                          "    ae_store_relaxed(&descriptor", "ae_fence_release();\n    ae_store_relaxed(&descriptor")],
    "LANENOW1": [(LANE, "    ae_fence_release();\n    ae_store_relaxed(&descriptor",
                  "    ae_store_relaxed(&descriptor")],
    "LANEW2": [swap(LANE, "ae_store_release(tag, ae_tag(seq, AE_KIND_LANE + ", "release", "relaxed")],
    # ---- the end of the stream ----
    "T2": [swap(RECEIVE, "    if (ae_load_acquire(&stream->open) != 0)\n", "acquire", "relaxed")],
    "T2JOIN": [swap(JOIN, "open_before = ae_load_acquire(&stream->open) != 0;", "acquire", "relaxed")],
    "T2DIED": [swap(RECEIVE, "died = ae_load_acquire(&stream->died);", "acquire", "relaxed")],
    # ---- a subscriber before the first publisher ----
    "NOENTRY": [(JOIN, "s->hot.cursor = enter(s, start_seq);",
                 "s->hot.cursor = &cursors->records[record].cursor;")],
    "NOSECONDCHECK": [(JOIN, "    if (ae_subscriber_sees_shape(s))\n        return false;",
                       "    if (false)\n        return false;")],
    # ---- eviction ----
    "E1": [swap(TOPIC, "ae_exchange(&log->evict[record],", "ae_exchange", "ae_exchange_relaxed")],
    "E2": [swap(FLOW, "word = ae_load_acquire(&p->log->evict[r]);", "acquire", "relaxed")],
    "E2ACTIVE": [swap(FLOW, "(ae_load_acquire(&p->cursors->active.active) >> r", "acquire", "relaxed")],
    "E3": [swap(FLOW, "(void)ae_cas(&p->log->evict[r], word, evicted_word(", "ae_cas", "ae_cas_relaxed")],
    "NOE3": [(FLOW, "        ae_fence_release();\n        eviction->tried = true;", "        eviction->tried = true;")],
    "E4": [swap(RECEIVE, "ae_load_acquire(&s->log->evict[s->record])", "acquire", "relaxed")],
}
# Some orders are implied by another one; only without that they show.
MUTANTS["P1+NOJ2"] = MUTANTS["P1"] + MUTANTS["NOJ2"]
MUTANTS["E3+NOE3"] = MUTANTS["E3"] + MUTANTS["NOE3"]
MUTANTS["P4+NOM3"] = MUTANTS["P4"] + MUTANTS["NOM3"]
MUTANTS["T1+NOM3"] = MUTANTS["T1"] + MUTANTS["NOM3"]
MUTANTS["F4+NOM3"] = MUTANTS["F4"] + MUTANTS["NOM3"]

SMOKE = True
# (model, name, what is expected, part of --smoke). "clean" is the code as it is; another name is a mutant. --smoke has the
# clean runs that are short, and one mutant of each part, to see that the harness can fail.
TABLE = [
    ("wrap", "clean", CLEAN, SMOKE),
    ("wrap", "WORDW2", RACE, False),
    ("wrap", "R1", RACE, False),
    ("wrap", "F1", RACE, SMOKE),
    ("wrap", "F2", RACE, False),
    ("join", "clean", CLEAN, False),
    ("join", "NOJ1", WRONG, SMOKE),
    ("join", "NOJ2", WRONG, False),
    ("join", "J3", CLEAN, False),
    ("join", "J4", CLEAN, False),
    ("waiting", "clean", CLEAN, SMOKE),
    ("waiting", "NOENTRY", WRONG, False),
    ("waiting", "NOSECONDCHECK", RACE, SMOKE),
    ("waiting", "NOJ1", WRONG, False),
    ("waiting", "NOJ2", WRONG, False),
    ("waiting", "J3", CLEAN, False),
    ("leave", "clean", CLEAN, SMOKE),
    ("leave", "F3", RACE, False),
    ("leave", "F4", CLEAN, False),
    ("leave", "F4+NOM3", RACE, SMOKE),
    ("observer", "clean", CLEAN, SMOKE),
    ("observer", "W2", WRONG, False),
    ("observer", "R1SLOW", WRONG, False),
    ("torn", "clean", CLEAN, SMOKE),
    ("torn", "NOBUSY", WRONG, SMOKE),
    ("torn", "NOW1", WRONG, False),
    ("torn", "NOV1", WRONG, False),
    ("torn", "NOCHECK", WRONG, False),
    ("torn-word", "clean", CLEAN, False),
    ("torn-word", "WORDNOBUSY", WRONG, False),
    ("torn-word", "WORDNOW1", WRONG, False),
    ("torn-two", "clean", CLEAN, False),
    ("in-place", "clean", CLEAN, False),
    ("in-place", "NOW1", WRONG, False),
    ("in-place", "NOV1", WRONG, False),
    ("stamp", "clean", CLEAN, False),
    ("stamp", "F1", RACE, False),
    ("stamp-observer", "clean", CLEAN, False),
    ("stamp-observer", "R1SLOW", WRONG, False),
    ("stamp-observer", "LATESTAMP", WRONG, False),
    ("stamp-observer", "COMMITW2", CLEAN, False),
    ("stamp-overrun", "clean", CLEAN, False),
    ("stamp-overrun", "COMMITNOBUSY", WRONG, False),
    ("stamp-overrun", "COMMITNOW1", WRONG, False),
    ("stamp-overrun", "EARLYSTAMP", WRONG, SMOKE),
    ("stamp-overrun", "NOV1", WRONG, False),
    ("stamp-overrun", "NOCHECK", WRONG, False),
    ("stamp-in-place", "clean", CLEAN, False),
    ("stamp-in-place", "COMMITNOW1", WRONG, False),
    ("stamp-in-place", "NOSTAMPCHECK", WRONG, False),
    ("stamp-lane", "clean", CLEAN, False),
    ("stamp-lane", "LANELATESTAMP", WRONG, False),
    ("figures", "clean", CLEAN, False),
    ("figures", "ONECOPY", WRONG, SMOKE),
    ("figures", "M1", WRONG, False),
    ("figures", "M2", WRONG, False),
    ("figures", "NOM3", WRONG, False),
    ("figures", "NOM4", WRONG, False),
    ("figures-cursor", "clean", CLEAN, False),
    ("figures-cursor", "M5", CLEAN, False),
    ("figures-cursor", "F1", WRONG, False),
    ("figures-cursor", "NOM4", WRONG, False),
    ("figures-alone", "clean", CLEAN, False),
    ("figures-alone", "WONLATER", WRONG, False),
    ("figures-run", "clean", CLEAN, False),
    ("figures-run", "LATEFIGURES", WRONG, False),
    ("figures-run", "P4", WRONG, False),
    ("figures-run", "B3", CLEAN, False),
    ("claim", "clean", CLEAN, SMOKE),
    ("claim", "P1", CLEAN, False),
    ("claim", "NOJ2", CLEAN, False),
    ("claim", "P1+NOJ2", RACE, False),
    ("claim", "NOP4", RACE, False),
    ("claim", "P5", RACE, SMOKE),
    ("claim", "P5ACQ", CLEAN, False),
    ("claim", "P6TAG", RACE, False),
    ("claim", "NOP6", RACE, False),
    ("claim-more", "clean", CLEAN, False),
    ("claim-more", "P6", RACE, False),
    ("fast", "clean", CLEAN, False),
    ("fast", "NOP4FAST", RACE, False),
    ("fast", "P5FAST", RACE, SMOKE),
    ("fast", "P5FASTACQ", CLEAN, False),
    ("claim-two", "clean", CLEAN, False),
    ("claim-two", "P4FAST", RACE, False),
    ("claim-lost", "clean", CLEAN, False),
    ("claim-lost", "P4", CLEAN, False),
    ("claim-lost", "P4+NOM3", RACE, False),
    ("claim-three", "clean", CLEAN, False),
    ("batch", "clean", CLEAN, SMOKE),
    ("batch-half", "clean", CLEAN, False),
    ("batch-half", "P6TAG", RACE, False),
    ("batch-half", "P6LAST", RACE, SMOKE),
    ("closes", "clean", CLEAN, SMOKE),
    ("closes", "P9", RACE, False),
    ("closes", "T1", CLEAN, False),
    ("closes", "T1+NOM3", RACE, False),
    ("closes-reused", "clean", CLEAN, False),
    ("two", "clean", CLEAN, False),
    ("full", "clean", CLEAN, False),
    ("join-two", "clean", CLEAN, False),
    ("join-two", "NOJ1", WRONG, False),
    ("join-two", "NOJ2", WRONG, False),
    ("latest", "clean", CLEAN, False),
    ("lane", "clean", CLEAN, False),
    ("lane", "LANEW2", WRONG, False),
    ("lane", "F1", RACE, False),
    ("lane", "F2", RACE, False),
    ("lane-overrun", "clean", CLEAN, False),
    ("lane-overrun", "NOL1", WRONG, SMOKE),
    ("lane-overrun", "NOFLOOR", WRONG, False),
    ("lane-overrun", "NOL2", WRONG, False),
    ("lane-slot", "clean", CLEAN, False),
    ("lane-slot", "LANENOBUSY", WRONG, False),
    ("lane-slot", "LANENOW1", WRONG, False),
    ("death", "clean", CLEAN, False),
    ("death", "NOP3", WRONG, SMOKE),
    ("death", "D2CLAIM", WRONG, False),
    ("death", "ABORTANY", WRONG, False),
    ("death-more", "clean", CLEAN, False),
    ("death-more", "D3", RACE, False),
    ("death-more", "D4", WRONG, False),
    ("death-batch", "clean", CLEAN, False),
    ("death-batch", "P3", CLEAN, False),
    ("death-batch", "D2PROVED", CLEAN, False),
    ("death-batch", "B3", CLEAN, False),
    ("death-batch", "D3LOAD", CLEAN, False),
    ("death-batch", "D3ACQ", CLEAN, False),
    ("death-reader", "clean", CLEAN, SMOKE),
    ("death-reader", "NOD2", WRONG, False),
    ("death-both", "clean", CLEAN, False),
    ("death-reused", "clean", CLEAN, False),
    ("stream", "clean", CLEAN, False),
    ("stream", "T1+NOM3", WRONG, False),
    ("stream-death", "clean", CLEAN, False),
    ("stream-death", "T2", WRONG, False),
    ("stream-death", "D4", WRONG, False),
    ("stream-death", "T2DIED", CLEAN, False),
    ("stream-join", "clean", CLEAN, False),
    ("stream-join", "T2JOIN", WRONG, SMOKE),
    ("evict", "clean", CLEAN, SMOKE),
    ("evict", "NOE3", WRONG, SMOKE),
    ("evict", "E3", CLEAN, False),
    ("evict", "E3+NOE3", WRONG, False),
    ("evict", "E4", CLEAN, False),
    ("evict-lane", "clean", CLEAN, SMOKE),
    ("evict-lane", "L2", WRONG, False),
    ("evict-reused", "clean", CLEAN, False),
    ("evict-reused", "E1", WRONG, False),
    ("evict-reused", "E2", WRONG, False),
    ("evict-reused", "E2ACTIVE", CLEAN, False),
]


def call(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, **options)


def build_program():
    done = call("cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(HERE / "Cargo.toml"),
                "--target-dir", str(TARGET))
    if done.returncode != 0:
        sys.exit(f"run.py: cargo build failed:\n{done.stdout.strip()}")
    listed = [line.split(" ", 2) for line in call(str(PROGRAM), "--list").stdout.splitlines()]
    missing = {name for name, _, _ in listed} ^ {entry[0] for entry in TABLE}
    if missing:
        sys.exit(f"run.py: these models are only in the table or only in the program: {', '.join(sorted(missing))}")
    return {name: (bound, shows) for name, bound, shows in listed}


def build_library(name, directory, clean=None):
    """
    Returns None or what is wrong. The mutant's files come first on the include path, and in place of their originals.
    clean: where the library of the code as it is lies. Its objects are used for all files that a mutant doesn't change.
    """
    changed = {}
    for file, old, new in MUTANTS.get(name, []):
        text = changed.get(file) or (ROOT / file).read_text()
        if text.count(old) != 1:
            return f"the text that {name} replaces is {text.count(old)} times in {file}: {old!r}"
        changed[file] = text.replace(old, new)
    for file, text in changed.items():
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reuse = clean is not None and set(changed) <= {GLUE, *SOURCES}  # a header may change every object
    files = [file for file in (GLUE, *SOURCES) if not reuse or file in changed]
    includes = (HERE / "include", directory / "include", ROOT / "include", directory / "src", ROOT / "src")
    done = call("gcc", "-std=gnu17", "-O1" if name == CLEAN else "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unused",
                "-fPIC", "-c", *[f"-I{path}" for path in includes],
                *[str((directory if file in changed else ROOT) / file) for file in files], cwd=directory)
    if done.returncode == 0:
        objects = [str((directory if file in files else clean) / f"{pathlib.Path(file).stem}.o") for file in (GLUE, *SOURCES)]
        done = call("gcc", "-shared", "-Wl,--no-undefined", "-o", str(directory / "ring.so"), *objects)
    return f"gcc: {done.stdout.strip()}" if done.returncode != 0 else None


def judge(expected, output):
    """None if the run is as expected, or what is wrong with it."""
    failure = re.search(r"^failed: (.*)", output, re.MULTILINE)
    if failure is None:
        found = CLEAN if re.search(r"^executions: ", output, re.MULTILINE) else "neither an end nor a failure"
    elif failure.group(1).startswith("wrong: "):
        found = WRONG
    elif failure.group(1).startswith("Causality violation: Concurrent"):
        found = RACE
    else:
        found = failure.group(1)
    if found == expected:
        return None
    return f"{expected} was expected, and this was found: {found}" + ("" if failure is None else f"\n{output.strip()}")


def run(row, clean):
    """Returns (None or what is wrong, executions, seconds). clean: where the library of the code as it is lies."""
    model, name, expected, _ = row
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aether-loom-") as directory:
        directory = clean if name == CLEAN else pathlib.Path(directory)
        error = None if name == CLEAN else build_library(name, directory, clean)
        if error is not None:
            return error, 0, time.monotonic() - start
        try:
            output = call(str(PROGRAM), str(directory / "ring.so"), model, timeout=SECONDS).stdout
        except subprocess.TimeoutExpired:
            return f"not done after {SECONDS} seconds", 0, time.monotonic() - start
    executions = re.search(r"^(?:executions:|# execution) (\d+)", output, re.MULTILINE)
    return judge(expected, output), int(executions.group(1)) if executions else 0, time.monotonic() - start


def describe(row, models):
    """What --list says about a row: what its model shows, and how far it is searched."""
    bound, shows = models[row[0]]
    if row[1] != CLEAN:
        return ""
    return shows if bound == "none" else f"{shows} (at most {bound} preemptions)"


def main():
    arguments, chosen = table.parse(table.parser("Runs the ring's C code under loom."), TABLE)

    table.require(("cargo", "gcc"), "cargo-web gcc")
    models = build_program()
    if arguments.list:
        table.print_rows(chosen, lambda row: describe(row, models))
        return 0
    with tempfile.TemporaryDirectory(prefix="aether-loom-") as directory:
        clean = pathlib.Path(directory)
        error = build_library(CLEAN, clean)
        if error is not None:
            sys.exit(f"run.py: {error}")
        return table.run_rows(chosen, arguments, "executions", lambda row: run(row, clean))


if __name__ == "__main__":
    sys.exit(main())
