#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slices.py - a test (TAP) of how `make test` shares out the tests: each runs in the builds that it is good for, none is
lost, and tools/slice.py builds what the tests of its suite need and checks all other sources."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).parent.parent)).resolve()
BUILD = pathlib.Path(os.environ.get("BUILD", SOURCE / "build")).resolve()
SLICE = SOURCE / "tools/slice.py"

PROJECT = """project('aether', 'c', default_options: ['werror=true', 'warning_level=2'])
lib = static_library('lib', 'lib.c')
foreach name : ['threaded', 'plain']
  exe = executable(name, name + '.c', link_with: name == 'threaded' ? [lib] : [], build_by_default: false)
  test(name, exe, suite: name == 'threaded' ? ['unit', 'threads'] : ['unit'])
endforeach
"""
SOURCES = {"lib.c": "int lib(void);\nint lib(void) {\n    return 0;\n}\n",
           "threaded.c": "int lib(void);\nint main(void) {\n    return lib();\n}\n",
           "plain.c": "int main(void) {\n    return 0;\n}\n"}
BROKEN = "int main(void) {\n    int unused;\n    return 0;\n}\n"


def introspect(name):
    return json.loads((BUILD / f"meson-info/intro-{name}.json").read_text())


def suites(test):
    return {suite.partition(":")[2] for suite in test["suite"]}


def selected(*words):
    """The names of the tests that meson runs with these words."""
    said = subprocess.run(["meson", "test", "-C", str(BUILD), "--no-rebuild", "--list", *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout
    return sorted(line.rpartition(" / ")[2] for line in said.splitlines() if line.startswith("aether"))


def case_none_is_lost():
    """the release build runs all tests, the others those of their suites, as test.sh names them"""
    script = (SOURCE / "tools/test.sh").read_text()
    slices = re.findall(r"\brun (?:\"[^\"]*\"|\w+) (build\S*) (\S+)", script)
    assert slices == [("build", "''"), ("build-asan", "no-long"), ("build-tsan", "threads")], slices
    tests = introspect("tests")
    everything = sorted(test["name"] for test in tests)
    assert selected() == everything
    assert selected("--no-suite", "long") == sorted(t["name"] for t in tests if "long" not in suites(t))
    threads = [t for t in tests if "threads" in suites(t)]
    assert selected("--suite", "threads") == sorted(t["name"] for t in threads) and len(threads) > 5
    assert not [t["name"] for t in tests if not suites(t)], "a test without a suite"


def case_threads():
    """a unit test that starts threads is one of ThreadSanitizer's"""
    names = {test["name"] for test in introspect("tests") if "threads" in suites(test)}
    found = 0
    for path in sorted((SOURCE / "src").glob("*/*_test.c")):
        if "pthread_create(" in path.read_text():
            found += 1
            name = f"{path.parent.name}/{path.name.removesuffix('_test.c')}"
            assert name in names, f"{name} starts threads, and isn't in the suite threads"
    assert found > 3


def case_slice():
    """slice.py builds what the suite's tests need, and checks the others without building them"""
    with tempfile.TemporaryDirectory(prefix="aether-slices-") as directory:
        root = pathlib.Path(directory)
        (root / "meson.build").write_text(PROJECT)
        for name, text in SOURCES.items():
            (root / name).write_text(text)
        build = root / "build"
        subprocess.run(["meson", "setup", str(build), str(root)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

        def run():
            done = subprocess.run([sys.executable, str(SLICE), str(build), "threads", "check"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            return done.returncode, done.stdout

        assert run()[0] == 0
        assert (build / "threaded").exists() and not (build / "plain").exists()
        listed = subprocess.run(["meson", "test", "-C", str(build), "--no-rebuild", "--suite", "threads"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
        assert listed.returncode == 0 and re.search(r"^Ok: +1", listed.stdout, re.MULTILINE), listed.stdout
        for name, before in SOURCES.items():
            (root / name).write_text(before + BROKEN if name == "lib.c" else BROKEN)
            status, output = run()
            assert status == 1 and "unused" in output, (name, output)
            (root / name).write_text(before)
        assert run()[0] == 0


def main():
    cases = [value for name, value in list(globals().items()) if name.startswith("case_")]
    failed = 0
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {case.__doc__}", flush=True)
        except (AssertionError, subprocess.CalledProcessError) as error:
            failed += 1
            print(f"not ok {number} - {case.__doc__}", flush=True)
            print("".join(f"# {line}\n" for line in str(error).splitlines()), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
