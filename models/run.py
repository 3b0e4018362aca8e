#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - checks the models with spin: the protocols hold, and every mutant of them is caught.

usage: run.py [--smoke] [--list] [--tap] [--jobs N] [--memory MIB] [MODEL | MODEL/NAME]...

A run is one model with some definitions. "clean" must be searched completely without an error; "assertion" and
"deadlock" are mutants, and an error of that kind must be found. A search that was cut short (depth, memory) fails.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

import table

HERE = pathlib.Path(__file__).resolve().parent
DEPTH = 2000000  # steps; a search that gets there is not complete
CLEAN, ASSERTION, DEADLOCK = "clean", "assertion", "deadlock"

# Bounds that several runs of a model share.
JOIN = "M=7"
TORN = "M=3 D=2"
CLAIM = "NP=2 K=2 KO=2 NB=1 C=2 D=1 G=0"
CLAIM_BATCHES = "NP=2 K=2 KO=2 NB=2 C=4 D=1 G=0 ALONE"
CLAIM_THREE = "NP=3 K=2 KO=1 NB=1 C=4 D=1 G=0 ALONE"
BIAS = "NP=2 K=2 KO=2 NB=1 C=2 D=1 G=0"
BIAS_JOIN = "NP=2 K=2 KO=1 NB=1 C=2 D=0 G=0 JOIN"
BIAS_JOIN_MORE = "NP=2 K=3 KO=1 NB=1 C=2 D=0 G=0 JOIN"
BIAS_SOLE = "NP=1 K=4 KO=1 NB=1 C=2 D=0 G=0 JOIN"
BIAS_THREE = "NP=3 K=2 KO=1 NB=1 C=2 D=0 G=0 ALONE"
BIAS_ROOM = "NP=3 K=1 KO=2 NB=1 C=2 D=0 G=0 ALONE ROOM"
LANES = "L=3 M=3 D=1"
LANES_MORE = "L=3 M=4 D=2"
EVICT = "NP=1 M=4 G=2 N=2"
EVICT_TWO = "NP=2 M=2 G=2 N=3"
WAIT = "NP=1 M=2"
STREAM = "G=2 M=1 K=1"

# (model, name, definitions, what is expected, part of --smoke). --smoke has of each model a clean run and one mutant, to see
# that the harness can fail.
TABLE = [
    ("join", "clean", JOIN, CLEAN, True),
    ("join", "equivalent", f"{JOIN} BITFIRST", CLEAN, False),
    ("join", "NOJ1", f"{JOIN} NOJ1", ASSERTION, True),
    ("join", "NOJ2", f"{JOIN} NOJ2", ASSERTION, False),
    ("join", "NOCLAIM", f"{JOIN} NOCLAIM", ASSERTION, False),
    ("join", "CURSOREARLY", f"{JOIN} CURSOREARLY", ASSERTION, False),
    ("join", "LEAVEEARLY", f"{JOIN} LEAVEEARLY", ASSERTION, False),
    ("torn", "clean", TORN, CLEAN, True),
    ("torn", "NOBUSY", f"{TORN} NOBUSY", ASSERTION, True),
    ("torn", "NOW1", f"{TORN} NOW1", ASSERTION, False),
    ("torn", "NOV1", f"{TORN} NOV1", ASSERTION, False),
    ("torn", "NOW2", f"{TORN} NOW2", ASSERTION, False),
    ("torn", "NOCHECK", f"{TORN} NOCHECK", ASSERTION, False),
    ("claim", "clean", CLAIM, CLEAN, True),
    ("claim", "alone", "NP=2 K=2 KO=2 NB=1 C=2 D=2 G=1 ALONE", CLEAN, False),
    ("claim", "more", "NP=2 K=3 KO=3 NB=1 C=2 D=1 G=0", CLEAN, False),
    ("claim", "reuse", "NP=2 K=2 KO=2 NB=1 C=2 D=2 G=1", CLEAN, False),
    ("claim", "batches", "NP=2 K=2 KO=1 NB=2 C=4 D=1 G=0", CLEAN, False),
    ("claim", "batches-alone", CLAIM_BATCHES, CLEAN, False),
    ("claim", "three", "NP=3 K=1 KO=1 NB=1 C=2 D=2 G=0", CLEAN, False),
    ("claim", "three-alone", "NP=3 K=1 KO=1 NB=1 C=2 D=2 G=0 ALONE", CLEAN, False),
    ("claim", "three-more", CLAIM_THREE, CLEAN, False),
    ("claim", "sleeper", f"{CLAIM} SLEEP", CLEAN, False),
    ("claim", "joiner", f"{CLAIM} JOIN", CLEAN, False),
    ("claim", "observer", f"{CLAIM} ALONE OBSERVER", CLEAN, False),
    ("claim", "equivalent", "NP=2 K=2 KO=2 NB=1 C=2 D=2 G=1 ALONE ABORTPLAIN CLEARLATE", CLEAN, False),
    ("claim", "INTENTLATE", f"{CLAIM} INTENTLATE", DEADLOCK, False),
    ("claim", "INTENTEARLY", f"{CLAIM} ALONE INTENTEARLY", ASSERTION, False),
    ("claim", "CLEARFIRST", f"{CLAIM} ALONE CLEARFIRST", ASSERTION, False),
    ("claim", "TAGFIRST", f"{CLAIM} TAGFIRST", ASSERTION, False),
    ("claim", "NOBUSY", f"{CLAIM} ALONE OBSERVER NOBUSY", ASSERTION, False),
    ("claim", "COMMITDOWN", f"{CLAIM_BATCHES} COMMITDOWN", ASSERTION, False),
    ("claim", "NOPROVE", f"{CLAIM} NOPROVE", DEADLOCK, True),
    ("claim", "PROVELATE", f"{CLAIM} PROVELATE", DEADLOCK, False),
    ("claim", "PROVEPLAIN", f"{CLAIM_THREE} PROVEPLAIN", ASSERTION, False),
    ("claim", "LEAVEEARLY", f"{CLAIM} ALONE LEAVEEARLY", ASSERTION, False),
    ("claim", "OPENLATE", f"{CLAIM} ALONE OPENLATE", ASSERTION, False),
    ("claim", "NOINTENTS", f"{CLAIM} ALONE NOINTENTS", ASSERTION, False),
    ("claim", "INTENTSFIRST", f"{CLAIM} ALONE INTENTSFIRST", ASSERTION, False),
    ("claim", "OPENFIRST", f"{CLAIM} ALONE OPENFIRST", ASSERTION, False),
    ("claim", "CURSORFIRST", f"{CLAIM} JOIN CURSORFIRST", ASSERTION, False),
    ("claim", "TAGSHORT", f"{CLAIM_BATCHES} TAGSHORT", ASSERTION, False),
    ("claim", "CURSOREARLY", f"{CLAIM} CURSOREARLY", ASSERTION, False),
    ("claim", "NOJ1", f"{CLAIM} JOIN NOJ1", ASSERTION, False),
    ("claim", "PROVEDFIRST", f"{CLAIM} PROVEDFIRST", DEADLOCK, False),
    ("claim", "NOPROVED", f"{CLAIM} NOPROVED", DEADLOCK, False),
    ("claim", "NOTEST", f"{CLAIM} NOTEST", ASSERTION, False),
    ("claim", "ABORTANY", f"{CLAIM} ABORTANY", ASSERTION, False),
    ("claim", "ABORTDOWN", f"{CLAIM_BATCHES} ABORTDOWN", ASSERTION, False),
    ("claim", "CLOSEFIRST", f"{CLAIM} ALONE CLOSEFIRST", ASSERTION, False),
    ("claim", "FREEFIRST", "NP=2 K=2 KO=2 NB=1 C=2 D=1 G=1 FREEFIRST", ASSERTION, False),
    ("claim", "WAKEFIRST", f"{CLAIM} SLEEP WAKEFIRST", DEADLOCK, False),
    ("bias", "clean", BIAS, CLEAN, True),
    ("bias", "alone", "NP=2 K=2 KO=2 NB=1 C=2 D=1 G=1 ALONE", CLEAN, False),
    ("bias", "stop", f"{BIAS} STOP", CLEAN, False),
    ("bias", "batches", "NP=2 K=2 KO=1 NB=2 C=4 D=1 G=0", CLEAN, False),
    ("bias", "joiner", "NP=2 K=2 KO=1 NB=1 C=2 D=1 G=0 JOIN", CLEAN, False),
    ("bias", "joiner-more", BIAS_JOIN_MORE, CLEAN, False),
    ("bias", "three", BIAS_THREE, CLEAN, False),
    ("bias", "three-death", "NP=3 K=1 KO=1 NB=1 C=2 D=1 G=0 ALONE", CLEAN, False),
    ("bias", "room", BIAS_ROOM, CLEAN, False),
    ("bias", "exclusive", "NP=1 K=3 KO=1 NB=1 C=2 D=2 G=2 JOIN", CLEAN, False),
    ("bias", "equivalent", f"{BIAS_JOIN} NORECHECK", CLEAN, False),
    ("bias", "LOADFIRST", f"{BIAS} LOADFIRST", ASSERTION, False),
    ("bias", "NOBARRIER", f"{BIAS} NOBARRIER", ASSERTION, False),
    ("bias", "BARRIERONCE", f"{BIAS_THREE} BARRIERONCE", ASSERTION, False),
    ("bias", "LOOKFIRST", f"{BIAS} LOOKFIRST", ASSERTION, False),
    ("bias", "NOREVOKING", f"{BIAS} NOREVOKING", ASSERTION, False),
    ("bias", "NOGRANT", f"{BIAS} NOGRANT", DEADLOCK, False),
    ("bias", "PROVEDFIRST", f"{BIAS} PROVEDFIRST", DEADLOCK, False),
    ("bias", "WITHDRAWPLAIN", f"{BIAS} WITHDRAWPLAIN", ASSERTION, False),
    ("bias", "LEAVEBIASED", f"{BIAS} LEAVEBIASED", ASSERTION, False),
    ("bias", "CLEARLATE", f"{BIAS} CLEARLATE", ASSERTION, False),
    ("bias", "NOJ2", f"{BIAS_SOLE} NOJ2", ASSERTION, True),
    ("bias", "NOINTENTS", f"{BIAS} ALONE NOINTENTS", ASSERTION, False),
    ("bias", "NOJ1", f"{BIAS_JOIN} NOJ1", ASSERTION, False),
    ("bias", "JATEND", f"{BIAS_JOIN} JATEND", ASSERTION, False),
    ("bias", "JATEND-room", f"{BIAS_ROOM} JATEND", ASSERTION, False),
    ("bias", "JATSTART", f"{BIAS_SOLE} JATSTART", ASSERTION, False),
    ("bias", "NOD1", f"{BIAS} NOD1", ASSERTION, False),
    ("bias", "D1LATE", f"{BIAS} D1LATE", DEADLOCK, False),
    ("bias", "D1PLAIN", f"{BIAS} D1PLAIN", ASSERTION, False),
    ("bias", "D1SEQ", f"{BIAS} D1SEQ", ASSERTION, False),
    ("lanes", "clean", f"{LANES} RELIABLE BIG", CLEAN, True),
    ("lanes", "observer", f"{LANES} OBSERVER", CLEAN, True),
    ("lanes", "joiner", f"{LANES_MORE} RELIABLE JOIN", CLEAN, False),
    ("lanes", "two-deaths", f"{LANES_MORE} RELIABLE BIG T=3", CLEAN, False),
    ("lanes", "observer-more", f"{LANES_MORE} OBSERVER", CLEAN, False),
    ("lanes", "both", f"{LANES} RELIABLE OBSERVER BIG", CLEAN, False),
    ("lanes", "four-units", "L=4 M=4 D=1 T=3 RELIABLE BIG", CLEAN, False),
    ("lanes", "QEARLY", f"{LANES} RELIABLE QEARLY", ASSERTION, True),
    ("lanes", "QNOSCAN", f"{LANES} RELIABLE QNOSCAN", ASSERTION, False),
    ("lanes", "NOCHECKPOINT", f"{LANES} RELIABLE NOCHECKPOINT", ASSERTION, False),
    ("lanes", "RESETPOS", f"{LANES} OBSERVER RESETPOS", ASSERTION, False),
    ("lanes", "FLOORLATE", f"{LANES} OBSERVER FLOORLATE", ASSERTION, False),
    ("lanes", "FLOORFIRST", f"{LANES} OBSERVER FLOORFIRST", ASSERTION, False),
    ("lanes", "FLOORLAZY", f"{LANES} OBSERVER FLOORLAZY", ASSERTION, False),
    ("lanes", "FLOORFILL", f"{LANES} OBSERVER FLOORFILL", ASSERTION, False),
    ("lanes", "CKNAIVE", f"{LANES} RELIABLE CKNAIVE", ASSERTION, False),
    ("lanes", "CKCOMMIT", f"{LANES} RELIABLE CKCOMMIT", DEADLOCK, False),
    ("lanes", "CURSOREARLY", f"{LANES} RELIABLE CURSOREARLY", ASSERTION, False),
    ("lanes", "NOALIGN", f"{LANES} RELIABLE BIG NOALIGN", DEADLOCK, False),
    ("lanes", "NOCHECK", f"{LANES} OBSERVER NOCHECK", ASSERTION, False),
    ("evict", "clean", EVICT, CLEAN, True),
    ("evict", "two-publishers", EVICT_TWO, CLEAN, False),
    ("evict", "NOGEN", f"{EVICT} NOGEN", ASSERTION, True),
    ("evict", "CURFIRST", f"{EVICT} CURFIRST", ASSERTION, False),
    ("evict", "WORDFIRST", f"{EVICT} WORDFIRST BITSFIRST KEEPWORD", ASSERTION, False),
    ("evict", "DAEMONLATE", f"{EVICT} DAEMONLATE", ASSERTION, False),
    ("evict", "PLAINEV", f"{EVICT} PLAINEV", ASSERTION, False),
    ("evict", "LATECAS", f"{EVICT} LATECAS", ASSERTION, False),
    ("evict", "IGNORELAG", f"{EVICT} IGNORELAG", ASSERTION, False),
    ("evict", "NOVALID", f"{EVICT} NOVALID", ASSERTION, False),
    ("evict", "NOFENCE", f"{EVICT} NOFENCE", ASSERTION, False),
    ("evict", "KEEPWORD", f"{EVICT} KEEPWORD", ASSERTION, False),
    ("evict", "RAISEFIRST", f"{EVICT} RAISEFIRST", ASSERTION, False),
    ("evict", "BITSFIRST", f"{EVICT} BITSFIRST", ASSERTION, False),
    ("wait", "clean", WAIT, CLEAN, True),
    ("wait", "two-publishers", "NP=2 M=1", CLEAN, False),
    ("wait", "death", f"{WAIT} DEATH OTHER", CLEAN, False),
    ("wait", "two-death", "NP=2 M=1 DEATH", CLEAN, False),
    ("wait", "unreached", f"{WAIT} UNREACHED", CLEAN, False),
    ("wait", "liar", "NP=1 M=3 LIAR PACED", CLEAN, False),
    ("wait", "other", f"{WAIT} OTHER", CLEAN, False),
    ("wait", "NOMEMBARRIER", f"{WAIT} NOMEMBARRIER", ASSERTION, True),
    ("wait", "TAGFIRST", f"{WAIT} TAGFIRST", ASSERTION, False),
    ("wait", "PLAINWANT", f"{WAIT} PLAINWANT", ASSERTION, False),
    ("wait", "MAXWANT", "NP=1 M=3 LIAR PACED MAXWANT", ASSERTION, False),
    ("wait", "WANTFIRST", f"{WAIT} WANTFIRST", ASSERTION, False),
    ("wait", "EQUALCOPY", f"{WAIT} OTHER EQUALCOPY", ASSERTION, False),
    ("wait", "NOFLAG", f"{WAIT} UNREACHED NOFLAG", ASSERTION, False),
    ("wait", "FLAGFIRST", "NP=1 M=1 UNREACHED FLAGFIRST", ASSERTION, False),
    ("wait", "FLAGPLAIN", "NP=1 M=1 UNREACHED FLAGPLAIN", ASSERTION, False),
    ("waitset", "clean", "M=1", CLEAN, True),
    ("waitset", "more", "M=2", CLEAN, False),
    ("waitset", "death", "M=2 DEATH", CLEAN, False),
    ("waitset", "later", "M=1 LATER OTHER", CLEAN, False),
    ("waitset", "NOBARRIER", "M=1 NOBARRIER", ASSERTION, True),
    ("waitset", "BARRIERFIRST", "M=1 BARRIERFIRST", ASSERTION, False),
    ("waitset", "LOOKFIRST", "M=1 LOOKFIRST", ASSERTION, False),
    ("waitset", "QUIETEARLY", "M=1 QUIETEARLY", ASSERTION, False),
    ("waitset", "CONTROLLATE", "M=1 LATER CONTROLLATE", ASSERTION, False),
    ("waitset", "NOSIGNAL", "M=1 NOSIGNAL", DEADLOCK, False),
    ("waitset", "WATCHIDLE", "M=1 WATCHIDLE", DEADLOCK, False),
    ("waitset", "CLEARLATE", "M=1 CLEARLATE", DEADLOCK, False),
    ("waitset", "ADDQUIETLY", "M=1 LATER ADDQUIETLY", ASSERTION, False),
    ("stream", "clean", STREAM, CLEAN, True),
    ("stream", "more", "G=3 M=1 K=2", CLEAN, False),
    ("stream", "TAGONCE", f"{STREAM} TAGONCE", ASSERTION, True),
    ("stream", "CLOSEFIRST", f"{STREAM} CLOSEFIRST", ASSERTION, False),
    ("stream", "NOWAKE", f"{STREAM} NOWAKE", ASSERTION, False),
    ("stream", "OPENFIRST", f"{STREAM} OPENFIRST", ASSERTION, False),
    ("stream", "DIEDFIRST", f"{STREAM} DIEDFIRST", ASSERTION, False),
    ("stream", "JOINSFIRST", f"{STREAM} JOINSFIRST", ASSERTION, False),
    ("stream", "LOOKONCE", f"{STREAM} LOOKONCE", ASSERTION, False),
    ("stream", "NOADOPT", f"{STREAM} NOADOPT", ASSERTION, False),
    ("stream", "GRANTLAST", f"{STREAM} GRANTLAST", ASSERTION, False),
]


def judge(expected, output, code):
    """None if the run is as expected, or what is wrong with it."""
    errors = re.search(r"errors: (\d+)", output)
    for words in ("max search depth too small", "out of memory", "MEMLIM", "VECTORSZ", "invalid array index",
                  "aborting"):
        if words in output:
            return f"pan says: {words}"
    if errors is None or code != 0:
        return f"pan ended with code {code}"
    found = "none"
    if "pan:1: assertion violated" in output:
        found = ASSERTION
    elif "pan:1: invalid end state" in output:
        found = DEADLOCK
    if expected == CLEAN:
        if found != "none" or int(errors.group(1)) != 0:
            return f"an error was found: {found}"
        return "search not completed" if "Search not completed" in output else None
    if found != expected:
        return f"the mutant wasn't caught by {expected} but: {found}"
    return None


def run(row, memory):
    """Returns (None or what is wrong, states, seconds)."""
    model, _, definitions, expected, smoke = row
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aether-model-") as directory:
        def call(*command):
            return subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)

        done = call("spin", "-a", *[f"-D{word}" for word in definitions.split()], str(HERE / f"{model}.pml"))
        if done.returncode != 0 or "Error" in done.stdout:
            return f"spin: {done.stdout.strip()}", 0, time.monotonic() - start
        # COLLAPSE: a fraction of the memory. Only a long search gains more by optimising than that costs.
        level = "-O2" if expected == CLEAN and not smoke else "-O0"
        done = call("gcc", level, "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={memory}", "-o", "pan", "pan.c")
        if done.returncode != 0:
            return f"gcc: {done.stdout.strip()}", 0, time.monotonic() - start
        done = call("./pan", f"-m{DEPTH}")
    states = re.search(r"(\d+) states, stored", done.stdout)
    return (judge(expected, done.stdout, done.returncode), int(states.group(1)) if states else 0,
            time.monotonic() - start)


def main():
    options = table.parser("Checks the models with spin.")
    options.add_argument("--memory", type=table.positive, default=2800, metavar="MIB",
                         help="limit of one run (default 2800)")
    arguments, chosen = table.parse(options, TABLE)

    if arguments.list:
        table.print_rows(chosen, lambda row: row[2])
        return 0
    table.require(("spin", "gcc"), "spin gcc")
    return table.run_rows(chosen, arguments, "states", lambda row: run(row, arguments.memory))


if __name__ == "__main__":
    sys.exit(main())
