#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cli_sub.py - which topics aether-cli sub reads, when it ends, and how it shows messages: a test (TAP)."""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import daemon_lib as lib
from daemon_lib import Daemon

CLI = os.environ["AETHER_CLI"]
DAEMON = Daemon()
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def start(*words):
    return subprocess.Popen([CLI, "--socket", DAEMON.path, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def ended(process):
    """Its status, its output, and the lines of its errors; what it waited for at first depends on the machine's load."""
    out, err = process.communicate(timeout=lib.HANG_S)
    return (process.returncode, out.decode(errors="surrogateescape"),
            [line for line in err.decode().splitlines() if not line.startswith("aether-cli: waiting for ")])


def run(*words):
    return ended(start(*words))


def pub(topic, *messages, options=()):
    for message in messages:
        assert run("pub", topic, *options, "--", message) == (0, "", []), topic


def has_joined(process, topics=1):
    """It has mapped so many topics, and sleeps. A topic that has only subscribers isn't listed yet."""
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{process.pid}/stat", encoding="utf-8") as stat:
        return len(set(re.findall(r"/aether-\S*\.log-\S*", maps.read()))) >= topics and stat.read().rsplit(") ", 1)[1][0] == "S"


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


@contextlib.contextmanager
def reads(*words, topics):
    """A subscriber of topics that has opened them."""
    process = start("sub", *words)
    lib.await_true(lambda: has_joined(process, topics), f"it reads {topics} topics")
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def case_several():
    """several topics: each record names its topic, and each topic's messages keep their order"""
    with reads("a", "b/c", "--json", "--count", "5", topics=2) as process:
        pub("a", "1", "2")
        pub("b/c", "3")
        pub("a", "4", "5")
        status, out, err = ended(process)
        assert (status, err) == (0, [])
        assert sorted((r["topic"], r["seq"], r["payload"]) for r in rows(out)) == [
            ("a", 0, "1"), ("a", 1, "2"), ("a", 2, "4"), ("a", 3, "5"), ("b/c", 0, "3")]
    status, out, _ = run("sub", "a", "b/c", "--from", "oldest", "--count", "5")
    assert sorted(re.split(" +", line, maxsplit=3) for line in out.splitlines())[-1] == ["b/c", "0", "1", "3"], out
    assert run("sub", "a", "--from", "last:1", "--count", "1", "--json")[1] == '{"seq":3,"len":1,"payload":"5"}\n'
    for words in (["a", "a"], ["a", "+", "a"], ["a", "a", "#", "+", "#"]):
        status, out, err = run("sub", *words, "--from", "last:1", "--idle-exit", "0", "--format", r"%t %p\n")
        assert (status, [row for row in out.splitlines() if row.startswith("a ")], err) == (0, ["a 5"], []), words
    assert run("sub", "a", "a", "--from", "last:1", "--idle-exit", "0")[1].split() == ["3", "1", "5"], "it is one topic"


def case_patterns():
    """patterns: '+' is one level, '#' the rest; what the ring holds is read if it is asked for"""
    for topic in ("p/x", "p/y", "p/x/z", "q/x", "p"):
        pub(topic, topic)
    for words, found in ((["p/+"], ["p/x", "p/y"]), (["p/#"], ["p", "p/x", "p/x/z", "p/y"]), (["+/x"], ["p/x", "q/x"]),
                         (["p/+", "q/x"], ["p/x", "p/y", "q/x"]), (["p/+", "p/x", "+/x"], ["p/x", "p/y", "q/x"])):
        status, out, err = run("sub", *words, "--from", "oldest", "--format", r"%t\n", "--idle-exit", "0")
        assert (status, sorted(out.splitlines()), err) == (0, found, []), words


def case_late():
    """a topic that comes later is joined at once and read from its first message, also by a sub that began without any"""
    with reads("late/+", "late", "--json", "--policy", "reliable", "--count", "6", topics=1) as process:
        pub("late/a", "1", "2")
        pub("late", "3")
        pub("other/a", "not this one")
        pub("late/b", "4", "5", "6")
        status, out, err = ended(process)
        assert (status, err) == (0, [])
        assert sorted((r["topic"], r["payload"]) for r in rows(out)) == [
            ("late", "3"), ("late/a", "1"), ("late/a", "2"), ("late/b", "4"), ("late/b", "5"), ("late/b", "6")]


def case_late_after_restart():
    """topics are joined after aetherd was killed and started again, too"""
    with reads("again/+", "again", "--raw", "--count", "2", topics=1) as process:
        DAEMON.process.kill()
        DAEMON.process.wait()
        DAEMON.start()
        pub("again/x", "1")
        pub("again", "2")
        status, out, err = ended(process)
        assert (status, sorted(out.splitlines()), err) == (0, ["1", "2"], [])


def case_late_asleep():
    """a sub that follows topics sleeps: a few wake-ups a second, and none of its threads spins"""
    with reads("asleep/#", "asleep/one", topics=1) as process:
        def wakeups():
            total = 0
            for task in os.listdir(f"/proc/{process.pid}/task"):
                with open(f"/proc/{process.pid}/task/{task}/status", encoding="utf-8") as f:
                    total += int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", f.read(), re.M)[1])
            return total

        def sleeps():
            before = wakeups()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            return wakeups() - before <= 20
        lib.await_true(sleeps, "it sleeps")
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 143


def case_pattern_words():
    """a pattern that isn't one is refused, and --dump takes one topic"""
    for word in ("a+", "#/a", "a/#/b", "++", "a#"):
        status, out, err = run("sub", word)
        assert (status, out) == (2, "") and f"'{word}': '+' stands for a whole level" in err[0], err
    assert "--dump takes one topic" in run("sub", "a", "b", "--dump", "d")[2][0]
    assert "--dump takes one topic" in run("sub", "a/+", "--dump", "d")[2][0]
    assert run("sub")[2] == ["aether-cli: sub needs more words: usage: aether-cli sub TOPIC ..."]


def case_exit_at_end():
    """--exit-at-end of several topics waits for the end of each"""
    with reads("end/a", "end/b", "--exit-at-end", "--raw", topics=2) as process:
        pub("end/a", "1")
        assert process.stdout.readline() == b"1\n" and process.poll() is None
        pub("end/b", "2")
        assert ended(process) == (0, "2\n", [])


def case_timeout():
    """--timeout ends with 0, or with 7 if --count or --exit-at-end wanted more; also while messages flow"""
    assert run("sub", "time", "--timeout", "50ms") == (0, "", [])
    assert run("sub", "time", "--timeout", "0.05", "--count", "2") == (
        7, "", ["aether-cli: --timeout was over: received 0 of 2 messages"])
    assert run("sub", "time", "--timeout", "50ms", "--exit-at-end") == (
        7, "", ["aether-cli: --timeout was over before the end of the stream"])
    pub("time", "x")
    assert run("sub", "time", "--from", "oldest", "--timeout", "60s", "--count", "1", "--raw") == (0, "x\n", [])
    feed = start("pub", "time", "--size", "8")
    status, out, _ = run("sub", "time", "--timeout", "300ms", "--format", ".")
    feed.send_signal(signal.SIGTERM)
    assert ended(feed)[0] == 143
    assert status == 0 and out.startswith("..")
    for bad in ("0", "x", "-1", "1y", ""):
        assert run("sub", "time", f"--timeout={bad}")[::2] == (
            2, [f"aether-cli: --timeout '{bad}': use a time above 0, such as 500ms, 5s or 2min"])


def case_idle_exit():
    """--idle-exit ends when nothing has come for its time, and 0 when all that is there was printed"""
    pub("idle", "1", "2")
    assert run("sub", "idle", "--from", "oldest", "--idle-exit", "0", "--raw") == (0, "1\n2\n", [])
    assert run("sub", "idle", "--idle-exit", "50ms") == (0, "", [])
    assert run("sub", "idle", "--from", "oldest", "--idle-exit", "50ms", "--count", "3", "--raw") == (
        7, "1\n2\n", ["aether-cli: --idle-exit was over: received 2 of 3 messages"])


def case_waiting():
    """a sub whose topic has no publisher says so after a second, once, and goes on"""
    process = start("sub", "mistyped", "typo/+", "--count", "1", "--raw")
    assert process.stderr.readline() == b"aether-cli: waiting for topic 'mistyped': no publisher has opened it yet\n"
    pub("mistyped", "x")
    assert ended(process) == (0, "x\n", [])
    process = start("sub", "typo/+", "--count", "1", "--raw")
    assert process.stderr.readline() == b"aether-cli: waiting for a topic that 'typo/+' admits: there is none yet\n"
    pub("typo/x", "x")
    assert ended(process) == (0, "x\n", [])
    process = start("sub", "typo/x", "--exit-at-end", "--raw")
    assert process.stderr.readline() == (b"aether-cli: waiting for topic 'typo/x': its publishers have gone; --exit-at-end "
                                         b"waits for the next one\n")
    pub("typo/x", "y")
    assert ended(process) == (0, "y\n", [])


def case_existing():
    """--existing: status 4 and a similar name if there is no such topic, and nothing is made"""
    pub("market/eur/usd", "x")
    for words in (("sub", "market/eur/usb"), ("pub", "market/eur/usb", "y")):
        assert run(*words, "--existing") == (
            4, "", ["aether-cli: there is no topic 'market/eur/usb': did you mean 'market/eur/usd'?"]), words
    assert run("pub", "market/eur/usd", "y", "--existing") == (0, "", [])
    assert run("sub", "market/eur/usd", "--existing", "--from", "oldest", "--count", "2", "--raw") == (0, "x\ny\n", [])
    assert run("sub", "market/gbp/+", "--existing") == (4, "", ["aether-cli: there is no topic that 'market/gbp/+' admits"])
    assert run("topic", "info", "market/eur/usb")[0] == 4
    assert "market/eur/usb" not in run("topic", "ls")[1]
    for words in (("sub", "x"), ("pub", "x", "y")):
        status, _, err = run(*words, "--existing", "--await")
        assert status == 2 and "--existing and --await exclude each other" in err[0]


def case_await():
    """--await waits until the topic exists, over a restart of aetherd, and --timeout bounds it with status 7"""
    for words in (("sub", "awaited"), ("pub", "awaited", "y")):
        assert run(*words, "--await", "--timeout", "50ms") == (
            7, "", ["aether-cli: --timeout was over: topic 'awaited' doesn't exist"]), words
    assert run("pub", "awaited", "y", "--timeout", "1s")[0] == 2
    assert "--await takes names" in run("sub", "awaited/+", "--await")[2][0]
    subscriber = start("sub", "awaited", "--await", "--from", "oldest", "--count", "2", "--raw")
    assert subscriber.stderr.readline() == b"aether-cli: waiting for topic 'awaited': no publisher has opened it yet\n"
    publisher = start("pub", "awaited", "second", "--await")
    assert publisher.stderr.readline() == b"aether-cli: waiting for topic 'awaited': no publisher has opened it yet\n"
    assert run("topic", "info", "awaited")[0] == 4
    DAEMON.process.kill()
    DAEMON.process.wait()
    DAEMON.start()
    assert run("topic", "create", "awaited", "--max-message", "100") == (0, "", [])
    assert ended(publisher) == (0, "", [])
    pub("awaited", "third")
    assert ended(subscriber) == (0, "second\nthird\n", [])


def waits_without_daemon(daemon, number):
    """A subscriber and a publisher that wait for a topic. The daemon was ended before their notices after a second."""
    for _ in range(20):
        begin = time.monotonic()
        where = ("--await", "--timeout", "2min", "--socket", daemon.path)
        processes = [start("sub", "away", "--from", "oldest", "--count", "1", "--raw", *where), start("pub", "away", "x", *where)]
        for process in processes:
            lib.await_true(lambda: has_joined(process), "it waits")  # pylint: disable=cell-var-from-loop
        daemon.stop(number)
        if time.monotonic() - begin < 1:
            return processes
        for process in processes: # the machine is so busy that the notices may have come first
            process.kill()
            process.communicate()
        daemon.start()
    raise AssertionError("no process waits for a topic within a second")


def case_await_without_daemon():
    """--await goes on if no aetherd runs when it says what it waits for, whether aetherd was killed or asked to end"""
    with Daemon() as other:
        for number in (signal.SIGKILL, signal.SIGTERM):
            subscriber, publisher = waits_without_daemon(other, number)
            for process in (subscriber, publisher):
                assert process.stderr.readline() == b"aether-cli: waiting for topic 'away': no publisher has opened it yet\n"
                line = process.stderr.readline().decode()
                assert line.startswith("aether-cli: waiting for topic 'away': no aetherd at "), line
            other.start()
            assert run("topic", "create", "away", "--socket", other.path) == (0, "", [])
            assert ended(publisher) == (0, "", [])
            assert ended(subscriber) == (0, "x\n", [])
            assert run("topic", "rm", "away", "--socket", other.path)[0] == 0
            publisher = start("pub", "away", "x", "--await", "--timeout", "1500ms", "--socket", other.path)
            lib.await_true(lambda: has_joined(publisher), "it waits")  # pylint: disable=cell-var-from-loop
            other.stop(number)
            status, out, err = ended(publisher)
            assert (status, out, len(err)) == (7, "", 1), err
            assert re.search(": --timeout was over: (no aetherd at |topic 'away' doesn't exist)", err[0]), err
            other.start()


def case_await_stopped():
    """--await goes on while aetherd is stopped, says so, and --timeout bounds it with status 7"""
    with Daemon() as other:
        other.process.send_signal(signal.SIGSTOP)
        processes = [start(*words, "--await", "--timeout", "5min", "--socket", other.path)
                     for words in (("sub", "stopped", "--from", "oldest", "--count", "1", "--raw"), ("pub", "stopped", "x"))]
        short = start("sub", "stopped", "--await", "--timeout", "6s", "--socket", other.path)
        for process in processes:
            line = process.stderr.readline().decode()
            assert re.fullmatch(rf"aether-cli: waiting for aetherd: aetherd at {other.path}: no answer within 5 seconds; "
                                r"is it stopped\?\n", line), line
        status, out, err = ended(short)
        assert (status, out) == (7, "") and err[0].startswith("aether-cli: --timeout was over: aetherd at "), err
        assert err[0].endswith("is it stopped?"), err
        other.process.send_signal(signal.SIGCONT)
        for process in processes:
            assert process.stderr.readline() == b"aether-cli: waiting for topic 'stopped': no publisher has opened it yet\n"
        assert run("topic", "create", "stopped", "--socket", other.path) == (0, "", [])
        assert ended(processes[1]) == (0, "", [])
        assert ended(processes[0]) == (0, "x\n", [])


def case_await_stopped_short():
    """--timeout bounds the wait for the answer of an aetherd that is stopped, and status 7 says why"""
    with Daemon() as other:
        other.process.send_signal(signal.SIGSTOP)
        silent = f"aetherd at {other.path}: no answer within 1 second; is it stopped?"
        for words in (("sub", "silent"), ("pub", "silent", "x")):
            assert run(*words, "--await", "--timeout", "1s", "--socket", other.path) == (
                7, "", [f"aether-cli: --timeout was over: {silent}"]), words
        assert run("sub", "silent", "--timeout", "1s", "--socket", other.path) == (1, "", [f"aether-cli: {silent}"])
        other.process.send_signal(signal.SIGCONT)
        for _ in range(20):  # on a busy machine aetherd may be stopped only after the last request
            publisher = start("pub", "silent", "x", "--await", "--timeout", "3s", "--socket", other.path)
            lib.await_true(lambda: has_joined(publisher), "it waits")  # pylint: disable=cell-var-from-loop
            other.process.send_signal(signal.SIGSTOP)
            status, out, err = ended(publisher)
            other.process.send_signal(signal.SIGCONT)
            assert (status, out) == (7, ""), err
            if re.search(r": --timeout was over: aetherd at .*: no answer within .*; is it stopped\?$", err[-1]):
                return
        raise AssertionError(f"an aetherd that is stopped isn't said: {err}")


def case_wait_daemon():
    """--wait-daemon: pub and sub may be started before aetherd"""
    other = Daemon(start=False)
    with other:
        where = ("--socket", other.path)
        status, _, err = run("pub", "early", "x", "--wait-daemon", "50ms", *where)
        assert status == 3 and "aetherd" in err[0], err
        subscriber = start("sub", "early", "--count", "1", "--policy", "reliable", "--from", "oldest", "--raw", "--wait-daemon", "1min", *where)
        publisher = start("pub", "early", "x", "--wait-daemon", "1min", *where)
        other.start()
        assert ended(publisher) == (0, "", [])
        assert ended(subscriber) == (0, "x\n", [])


def case_stall():
    """pub says for whom it waits: name, pid, whether that is stopped, how far behind it is"""
    assert run("topic", "create", "full", "--capacity", "8", "--max-message", "100")[0] == 0
    subscriber = start("sub", "full", "--policy", "reliable", "--name", "viewer", "--raw")
    lib.await_true(lambda: has_joined(subscriber), "it has joined")
    subscriber.send_signal(signal.SIGSTOP)
    publisher = start("pub", "full", "x", "--count", "9")
    line = publisher.stderr.readline().decode()
    assert re.fullmatch(rf"aether-cli: topic 'full' full for 1\.\d s: waits for 'viewer' \(pid {subscriber.pid}, stopped\), "
                        r"8 messages behind\n", line), line
    subscriber.send_signal(signal.SIGCONT)
    assert ended(publisher)[0] == 0
    subscriber.send_signal(signal.SIGTERM)
    assert ended(subscriber)[:2] == (143, "x\n" * 9)


def case_sizes():
    """pub makes a topic large enough for what it knows, and says who has made one that is too small"""
    large = os.path.join(DAEMON.dir, "large")
    with open(large, "wb") as f:
        f.write(bytes(5000))
    assert run("pub", "sizes", "--file", large) == (0, "", [])
    assert json.loads(run("topic", "info", "sizes", "--json")[1])["max_message"] == 8192
    assert run("pub", "sizes", "x" * 8000) == (0, "", [])
    status, _, err = run("pub", "sizes", "x" * 8193)
    assert status == 5 and err[0].startswith("aether-cli: topic 'sizes' takes messages of at most 8 KiB, as "), err
    subscriber = start("sub", "sizes/later", "--count", "1", "--policy", "reliable", "--format", "%l")
    lib.await_true(lambda: has_joined(subscriber), "it has joined")
    assert run("pub", "sizes/later", "--file", large) == (0, "", []), "a subscriber that comes first decides nothing"
    assert ended(subscriber) == (0, "5000", [])


def case_format():
    """--format: each letter; what isn't one is refused"""
    pub("f/o", "pay", "\N{EURO SIGN}")
    assert run("sub", "f/o", "--from", "oldest", "--count", "2", "--format", r"%t|%s|%l|%p|%x|%%\t\\\n") == (
        0, "f/o|0|3|pay|706179|%\t\\\nf/o|1|3|\N{EURO SIGN}|e282ac|%\t\\\n", [])
    assert run("sub", "f/o", "--from", "oldest", "--count", "2", "--format", r"%p\0")[1] == "pay\0\N{EURO SIGN}\0"
    status, out, _ = run("sub", "f/o", "--from", "oldest", "--count", "1", "--format", "%T")
    assert status == 0 and re.fullmatch(TIME, out), out
    for bad, says in (("%q", "'%q' is unknown: use %t topic, %s sequence"), ("%", "a '%' at the end stands for nothing"),
                      (r"\x", r"'\\x' is unknown")):
        status, out, err = run("sub", "f/o", "--format", bad)
        assert (status, out) == (2, "") and err[0].startswith("aether-cli: --format: " + says), err
    for words in (("--raw", "--json"), ("--raw", "--format", "x"), ("-0", "--frame"), ("--timestamps", "--raw"),
                  ("--format", "%p", "--json"), ("--frame", "--dump", "d"), ("--timestamps", "--format", "%p")):
        status, _, err = run("sub", "f/o", *words)
        assert status == 2 and err[0].endswith("not both"), err


def case_timestamps():
    """--timestamps begins text and JSON with the time of receipt, in UTC"""
    pub("t", "x")
    status, out, _ = run("sub", "t", "--from", "oldest", "--count", "1", "--timestamps")
    assert status == 0 and re.fullmatch(rf"{TIME}  +0      1  x\n", out), out
    status, out, _ = run("sub", "t", "t/+", "--from", "oldest", "--count", "1", "--timestamps", "--json")
    assert list(rows(out)[0]) == ["time_ns", "topic", "seq", "len", "payload"] and rows(out)[0]["time_ns"] > 1 << 60


with DAEMON:
    lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
