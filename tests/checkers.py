#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""checkers.py - a test (TAP) of the tests in tools/: each finds what it is there to find, in a copy of the tree."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).parent.parent)).resolve()
PARTS = ("include", "src", "cmd", "examples", "demo", "fuzz", "tests", "models", "bench", "docs/architecture.md",
         "docs/memory-model.md", "docs/messages.md", "meson.build")


def append(text):
    return lambda before: before + text


def replace(old, new):
    def change(before):
        assert before.count(old) >= 1, old
        return before.replace(old, new)
    return change


# What is wrong, the checker, the file that is changed or made, how, and words of what the checker says.
CASES = [
    ("an include upwards", "check-includes.py", "src/shm/token.c", append('#include "ring/claim.h"\n'),
     "ring/claim.h: src/shm may use"),
    ("a public header of a higher layer", "check-includes.py", "src/shm/token.c",
     append("#include <aether/publish.h>\n"),
     "not a public header that src/shm may use"),
    ("a private layer in a benchmark", "check-includes.py", "bench/floor.c", append('#include "ring/claim.h"\n'),
     "bench may use only its own headers"),
    ("a private layer by a relative path", "check-includes.py", "tests/data_end.c",
     append('#include "../src/ring/claim.h"\n'), '../src/ring/claim.h: write headers of src/ as "LAYER/NAME.h"'),
    ("a private layer in <>", "check-includes.py", "src/shm/names.c", append("#include <ring/claim.h>\n"),
     ': ring/claim.h: write headers of src/ as "LAYER/NAME.h"'),
    ("an include behind a comment", "check-includes.py", "src/shm/memory.c", append('#include/**/"ring/flow.h"\n'),
     "ring/flow.h: src/shm may use"),
    ("an include by a macro", "check-includes.py", "src/shm/token.c", append("#include CLAIM_H\n"),
     "so that it can be checked"),
    ("an include in a file of another suffix", "check-includes.py", "src/shm/token.inc",
     append('#include "ring/lane.h"\n'), "ring/lane.h: src/shm may use"),
    ("another module's function in a source file", "check-includes.py", "src/ring/nap.c",
     append("void ae_lane_find(void);\n"), "src/ring/nap.c: ae_lane_find() is defined in another module"),
    ("a fuzzer of another layer", "check-includes.py", "fuzz/message_fuzz.c", append('#include "ring/claim.h"\n'),
     "fuzz may use only its own headers"),
    ("a model of another layer", "check-includes.py", "models/loom/glue.c", append('#include "broker/broker.h"\n'),
     "models/loom may use only its own headers"),
    ("a private layer in an example", "check-includes.py", "examples/poll.c", append('#include "ring/claim.h"\n'),
     "examples may use only its own headers"),
    ("a private public header in a process test", "check-includes.py", "tests/data_end.c",
     append("#include <aether/detail/layout.h>\n"), "not a public header that tests may use"),
    ("a circle inside a layer", "check-includes.py", "src/ring/claim.h", append('#include "ring/claimer.h"\n'), "a circle"),
    ("a declaration in another module's header", "check-includes.py", "src/ring/nap.h",
     replace("bool ae_nap(uint64_t ns);", "bool ae_nap(uint64_t ns);\nvoid ae_wake_futex(const void *word);"),
     "ae_wake_futex() is defined in another module"),
    ("a library in the wrong place", "check-includes.py", "src/base/text.c", append("#include <jansson.h>\n"),
     "may use it"),
    ("a directory without a rule", "check-includes.py", "new/file.c", append(""), "new/file.c: add a rule"),
    ("a label without a row", "check-labels.py", "src/ring/claim.c", append("/* D9 acquire */\n"), "D9 has no row"),
    ("a row without its label", "check-labels.py", "src/ring/topic.c", replace("E1 acq_rel", "acq_rel"),
     "E1: no comment in ae_topic_admit_subscriber()"),
    ("a row whose function is gone", "check-labels.py", "docs/memory-model.md",
     replace("| `ae_show_cursor`;", "| `ae_keep_cursor`;"), "no function ae_keep_cursor()"),
    ("a function that a model names and that is gone", "check-labels.py", "models/join.pml",
     replace("ae_publisher_scan()", "ae_publisher_skim()"), "there is no function ae_publisher_skim()"),
    ("a duration by the time of day", "check-clocks.py", "src/watch/rates.c",
     append("static uint64_t f(void) {\n    return ae_realtime_ns();\n}\n"), "f() reads the time of day"),
    ("a date that is gone", "check-clocks.py", "src/service/log.c", replace("CLOCK_REALTIME", "CLOCK_MONOTONIC"),
     "format_line() doesn't read the time of day any more"),
    ("a file that is gone", "check-docs.py", "docs/architecture.md", replace("`src/ring/join.c`", "`src/ring/joint.c`"),
     "there is no src/ring/joint.c"),
    ("a function that is gone", "check-docs.py", "docs/architecture.md", replace("`revoke()`", "`revolve()`"),
     "revolve() is in none"),
    ("a message without a row", "check-messages.py", "src/base/socket.c",
     append('static int f(void) { return ae_fail(-1, "a new text of %d", 1); }\n'), "no row for: a new text of N"),
    ("a row without a message", "check-messages.py", "docs/messages.md", append("| `an old text` | so | so |\n"),
     "no program says: an old text"),
    ("a count that doesn't bend its noun", "check-messages.py", "src/base/socket.c",
     append('static int f(void) { return ae_fail(-1, "out of %d topics", 1); }\n'), "not ok 2"),
    ("a version in a comment", "check-version.py", "src/base/error.c", append("/* since 0.4.1 */\n"), "src/base/error.c:"),
    ("an old version in the header", "check-version.py", "include/aether/error.h",
     replace("#define AETHER_VERSION_PATCH 0", "#define AETHER_VERSION_PATCH 99"), "not ok 1"),
]


def run(checker, root):
    done = subprocess.run([sys.executable, str(SOURCE / "tools" / checker), str(root)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def main():
    """All cases of a checker are tried in one copy of the tree, so each must be reported beside the others."""
    failed = 0
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory(prefix="aether-checkers-") as directory:
        root = pathlib.Path(directory)
        for part in PARTS:
            copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copyfile
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            copy(SOURCE / part, root / part)
        for checker in dict.fromkeys(case[1] for case in CASES):
            cases = [case for case in CASES if case[1] == checker]
            before = {}
            for _, _, file, change, _ in cases:
                path = root / file
                before.setdefault(path, path.read_text() if path.exists() else None)
                path.parent.mkdir(exist_ok=True)
                path.write_text(change(path.read_text() if path.exists() else ""))
            status, output = run(checker, root)
            for case in cases:
                what, _, _, _, words = case
                good = status != 0 and words in output
                failed += not good
                print(f"{'ok' if good else 'not ok'} {CASES.index(case) + 1} - {checker} finds {what}", flush=True)
                if not good:
                    print("".join(f"# {line}\n" for line in output.splitlines()), end="", flush=True)
            for path, text in before.items():
                if text is None:
                    path.unlink()
                else:
                    path.write_text(text)
    return 1 if failed else 0


sys.exit(main())
