#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cli_streams.py - aether-cli pub and sub between all that a shell, a supervisor or a program hands over: a test (TAP).

Whatever stdin and stdout are, each message arrives whole, and what is wrong with them is said in one line.
"""
import contextlib
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import tty

import daemon_lib as lib
from daemon_lib import Daemon

CLI = os.environ["AETHER_CLI"]
DAEMON = Daemon()
RANDOM = random.Random(20261128)
BYTES = bytes(range(256))

# Messages that each framing can carry. A pipe takes 64 KiB, so most of them wait for their reader.
LINES = [b"first", b"", b"  \r", b"x" * 1016] + [b"line %d" % i for i in range(20000)] + [BYTES.replace(b"\n", b"")]
NULLS = [b"first", b"", b"two\nlines", b"x" * 1016] + [b"piece %d" % i for i in range(20000)] + [BYTES[1:]]
FRAMES = [b"", BYTES, b"x" * 1016, b"", b"\0", b"\n"] + [RANDOM.randbytes(RANDOM.randrange(200)) for _ in range(5000)] + [b""]


def framed(messages):
    return b"".join(struct.pack("<I", len(m)) + m for m in messages)


FORMS = {"lines": ([], ["--raw"], LINES, lambda ms: b"".join(m + b"\n" for m in ms)),
         "-0": (["-0"], ["-0"], NULLS, lambda ms: b"".join(m + b"\0" for m in ms)),
         "--frame": (["--frame"], ["--frame"], FRAMES, framed)}


def environment():
    return {**os.environ, "AETHER_SOCKET": DAEMON.path}


def start(*words, **how):
    return subprocess.Popen([CLI, *words], env=environment(), **{"stderr": subprocess.PIPE, **how})


def ended(process):
    """Its status and what it wrote to stderr; what a subscriber waited for at first depends on the machine's load."""
    err = process.stderr.read().decode() if process.stderr else ""
    return process.wait(lib.HANG_S), re.sub("aether-cli: waiting for .*\n", "", err)


def run(*words, **how):
    done = subprocess.run([CLI, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=lib.HANG_S, check=False, **how)
    return done.returncode, done.stdout, done.stderr.decode()


def info(topic):
    status, out, _ = run("topic", "info", "--json", topic)
    return json.loads(out) if status == 0 else None


def has_joined(process, topics=1):
    """It has mapped so many topics, and sleeps. A topic that has only subscribers isn't listed yet."""
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{process.pid}/stat", encoding="utf-8") as stat:
        return len(set(re.findall(r"/aether-\S*\.log-\S*", maps.read()))) >= topics and stat.read().rsplit(") ", 1)[1][0] == "S"


def messages_in(topic, count):
    """The last messages of a topic, as sub --frame gives them."""
    status, out, err = run("sub", topic, "--from", f"last:{count}", "--count", str(count), "--frame")
    assert status == 0, err
    return split_frames(out)


def split_frames(data):
    found = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        assert len(data) >= 4 + length
        found.append(data[4:4 + length])
        data = data[4 + length:]
    return found


# ---- stdin -----------------------------------------------------------------------------------------------------------

class Feed(threading.Thread):
    """Writes data to a descriptor in pieces, and closes it."""

    def __init__(self, fd, data, piece=100000):
        super().__init__(daemon=True)
        self.fd, self.data, self.piece = fd, data, piece
        self.start()

    def run(self):
        with contextlib.suppress(OSError), open(self.fd, "wb", buffering=0) as f:
            view = memoryview(self.data)
            while len(view) > 0:
                view = view[f.write(view[:self.piece]):]


@contextlib.contextmanager
def stdin_of(kind, data):
    """A descriptor from which data can be read."""
    if kind == "file":
        with open(os.path.join(DAEMON.dir, "input"), "wb+") as f:
            f.write(data)
            f.flush()
            os.lseek(f.fileno(), 0, os.SEEK_SET)
            yield f.fileno()
        return
    if kind.startswith("pipe"):
        read_fd, write_fd = os.pipe()
        if kind == "pipe, non-blocking":
            os.set_blocking(read_fd, False)
    elif kind.startswith("socket"):
        ours, theirs = socket.socketpair()
        if kind == "socket, non-blocking":
            theirs.setblocking(False)
        read_fd, write_fd = theirs.detach(), ours.detach()
    feed = Feed(write_fd, data, 7 if kind == "pipe, in small pieces" else 100000)
    yield read_fd
    feed.join(lib.HANG_S)
    os.close(read_fd)


def case_stdin():
    """pub reads lines, pieces and frames from files, pipes and sockets, blocking or not"""
    for kind in ("file", "pipe", "pipe, in small pieces", "pipe, non-blocking", "socket", "socket, non-blocking"):
        for form, (pub, _, messages, encode) in FORMS.items():
            messages = messages[:300] if kind == "pipe, in small pieces" else messages
            topic = f"stdin/{kind}/{form}"
            subscriber = start("sub", topic, "--policy", "reliable", "--count", str(len(messages)), "--frame",
                               stdout=subprocess.PIPE)
            lib.await_true(lambda: has_joined(subscriber), "it has joined")  # pylint: disable=cell-var-from-loop
            with stdin_of(kind, encode(messages)) as fd:
                publisher = start("pub", topic, *pub, stdin=fd)
                out = subscriber.stdout.read()
                assert ended(publisher) == (0, ""), (kind, form)
            assert ended(subscriber) == (0, ""), (kind, form)
            assert split_frames(out) == messages, (kind, form)


def case_stdin_terminal():
    """pub reads lines from a terminal as they are typed, and ends with Ctrl-D"""
    ours, theirs = pty.openpty()
    publisher = start("pub", "typed", stdin=theirs)
    for count, text in enumerate((b"one\n", b"\n", b"three\n"), 1):
        os.write(ours, text)
        lib.await_true(lambda: (info("typed") or {}).get("messages") == count, text)  # pylint: disable=cell-var-from-loop
    os.write(ours, b"\x04")
    assert ended(publisher) == (0, "")
    assert messages_in("typed", 3) == [b"one", b"", b"three"]
    os.close(ours)
    os.close(theirs)


def case_stdin_wrong():
    """/dev/null has no message; a directory, a closed stdin and one that is open for writing are named"""
    assert run("pub", "wrong", stdin=subprocess.DEVNULL) == (0, b"", "")
    assert run("pub", "wrong", "--frame", stdin=subprocess.DEVNULL) == (0, b"", "")
    fd = os.open("/", os.O_RDONLY)
    assert run("pub", "wrong", stdin=fd) == (1, b"", "aether-cli: can't read stdin: it is a directory\n")
    assert run("pub", "wrong", "--file", "-", stdin=fd) == (1, b"", "aether-cli: --file: can't read '-': it is a directory\n")
    os.close(fd)
    fd = os.open("/dev/null", os.O_WRONLY)
    assert run("pub", "wrong", stdin=fd) == (1, b"", "aether-cli: can't read stdin: it isn't open for reading\n")
    os.close(fd)
    status, out, err = run_closed("pub wrong", "<&-")
    assert (status, out, err) == (1, b"", "aether-cli: can't read stdin: it isn't open for reading\n"), (status, out, err)
    assert run_closed("pub wrong message", "<&- >&- 2>&-") == (0, b"", "")
    assert info("wrong")["messages"] == 1


def run_closed(words, redirections):
    done = subprocess.run(["sh", "-c", f'exec "$0" {words} {redirections}', CLI], env=environment(), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=lib.HANG_S)
    return done.returncode, done.stdout, done.stderr.decode()


# ---- frames ----------------------------------------------------------------------------------------------------------

def case_frames_cut():
    """a frame that is cut, or states too much, ends pub with its place; the frames before it are published"""
    for data, where in ((b"\3\0\0\0abc\2\0", "stdin ends at byte 9, inside the length of frame 2, which begins at byte 7: "),
                        (b"\3\0\0\0abc\2\0\0\0x", "stdin ends at byte 12, inside frame 2, which begins at byte 7 and states 2 bytes: "),
                        (b"\3\0\0\0abc\xff\xff\xff\xff", "frame 2 at byte 7 states 4294967295 bytes: topic 'cut' takes at most 1016: "),
                        (b"\3\0\0\0abc\xf9\3\0\0" + bytes(1017), "frame 2 at byte 7 states 1017 bytes: ")):
        before = (info("cut") or {"messages": 0})["messages"]
        status, out, err = run("pub", "cut", "--frame", input=data)
        assert out == b"" and err.startswith(f"aether-cli: {where}") and err.count("\n") == 1, err
        assert err.endswith("published the frames before it" + (
            "\n" if "stdin ends" in where else ": --max-message makes a new topic larger\n")), err
        assert status == (1 if "stdin ends" in where else 5), status
        assert info("cut")["messages"] == before + 1
    assert messages_in("cut", 1) == [b"abc"]


def case_frames_through():
    """sub --frame | pub --frame carries all bytes, empty messages and the largest, and sub -0 | pub -0 what has no NUL"""
    large = [b"", BYTES, RANDOM.randbytes(3 << 20), b"", RANDOM.randbytes(4 << 20), b"\0", b""]
    for form, messages, limit in (("--frame", large, "4M"), ("--frame", FRAMES, "1016"), ("-0", NULLS, "1016")):
        first, second = f"from/{len(messages)}/{form}", f"to/{len(messages)}/{form}"
        last = start("sub", second, "--policy", "reliable", "--count", str(len(messages)), "--frame", "--max-message", limit,
                     stdout=subprocess.PIPE)
        lib.await_true(lambda: has_joined(last), "the last one has joined")  # pylint: disable=cell-var-from-loop
        source = start("sub", first, "--policy", "reliable", "--count", str(len(messages)), form, "--max-message", limit,
                       stdout=subprocess.PIPE)
        sink = start("pub", second, form, "--max-message", limit, stdin=source.stdout)
        source.stdout.close()
        lib.await_true(lambda: has_joined(source), "the first one has joined")  # pylint: disable=cell-var-from-loop
        feed = start("pub", first, "--frame", "--max-message", limit, stdin=subprocess.PIPE)
        Feed(os.dup(feed.stdin.fileno()), framed(messages))
        feed.stdin.close()
        out = last.stdout.read()
        for process in (feed, source, sink, last):
            assert ended(process) == (0, ""), form
        assert split_frames(out) == messages, form


# ---- stdout ----------------------------------------------------------------------------------------------------------

def fill(topic, messages):
    status, _, err = run("pub", topic, "--frame", "--max-message", "1016", input=framed(messages))
    assert status == 0, err


@contextlib.contextmanager
def stdout_of(kind):
    """(descriptor to write to, function that reads all that was written)"""
    if kind == "file":
        with open(os.path.join(DAEMON.dir, "output"), "wb+") as f:
            yield f.fileno(), lambda: (f.seek(0), f.read())[1]
        return
    if kind.startswith("pipe"):
        read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, kind == "pipe")
    elif kind.startswith("socket"):
        ours, theirs = socket.socketpair()
        theirs.setblocking(kind == "socket")
        read_fd, write_fd = ours.detach(), theirs.detach()
    else:
        read_fd, write_fd = pty.openpty()
        tty.setraw(write_fd)
        os.set_blocking(write_fd, kind == "terminal")

    def read_all():
        found = b""
        with contextlib.suppress(OSError):  # EIO: the terminal's other side is closed
            while part := os.read(read_fd, 65536):
                found += part
        return found
    yield write_fd, read_all
    os.close(read_fd)


def case_stdout():
    """sub writes every form whole to files, pipes, sockets and terminals, blocking or not, however slow their reader"""
    for form, (_, sub, messages, encode) in FORMS.items():
        messages = messages[-900:]
        fill(f"stdout/{form}", messages)
        for kind in ("file", "pipe", "pipe, non-blocking", "socket", "socket, non-blocking", "terminal", "terminal, non-blocking"):
            with stdout_of(kind) as (fd, read_all):
                process = start("sub", f"stdout/{form}", "--from", f"last:{len(messages)}", "--count", str(len(messages)), *sub, stdout=fd)
                if kind != "file":
                    os.close(fd)
                else:
                    process.wait(lib.HANG_S)
                out = read_all()
                assert ended(process) == (0, ""), (form, kind)
            assert out == encode(messages), (form, kind, len(out))


def case_stdout_slow():
    """a non-blocking pipe that is full costs no CPU time: sub waits until it takes something"""
    fill("slow", [b"x" * 1000] * 900)
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    process = start("sub", "slow", "--from", "last:900", "--count", "900", "--raw", stdout=write_fd)
    os.close(write_fd)

    def used():
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return fields[0], int(fields[11]) + int(fields[12])
    lib.await_true(lambda: used()[0] == "S" and select.select([read_fd], [], [], 0)[0], "it waits")
    before = used()[1]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    assert used()[1] - before <= 50, "it spins"
    out = b""
    while part := os.read(read_fd, 65536):
        out += part
    os.close(read_fd)
    assert ended(process) == (0, "")
    assert out == (b"x" * 1000 + b"\n") * 900


def case_stdout_full():
    """SIGTERM and --timeout end a command whose blocking stdout is full, and nobody reads"""
    fill("full", [b"x" * 1000] * 900)
    for words, number, status in ((("sub", "full", "--from", "last:900", "--raw"), signal.SIGTERM, 143),
                                  (("sub", "full", "--from", "last:900", "--raw", "--count", "1000", "--timeout", "1"), None, 7),
                                  (("sub", "full", "--from", "last:900", "--raw", "--timeout", "1s"), None, 1),
                                  (("hz", "--window", "10ms"), signal.SIGTERM, 143),
                                  (("lag", "full"), None, 0),
                                  (("stats", "--watch", "10ms", "--json"), signal.SIGINT, 130),
                                  (("top", "--batch", "--interval", "100ms"), signal.SIGTERM, 143)):
        read_fd, write_fd = os.pipe()
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, 4096)
        process = start(*words, stdout=write_fd)
        os.close(write_fd)
        if number is not None:
            lib.await_true(lambda: in_write(process), f"{words} waits in write()")  # pylint: disable=cell-var-from-loop
            process.send_signal(number)
        got, err = ended(process)
        os.close(read_fd)
        assert got == status, (words, got, err)
        assert ("nobody reads it" in err) == (status in (1, 7)), (words, err)


def case_stderr_full():
    """SIGTERM and --timeout end a command whose blocking stderr is full, and nobody reads"""
    for words, number, status in ((("--timeout", "1500ms"), None, 0), ((), signal.SIGTERM, 143)):
        read_fd, write_fd = os.pipe()
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, 4096)
        os.write(write_fd, b"x" * 4096)
        process = start("sub", "silent", "-v", *words, stdout=subprocess.DEVNULL, stderr=write_fd)
        os.close(write_fd)
        try:
            if number is not None:
                lib.await_true(lambda: in_write(process), "it waits in write()")  # pylint: disable=cell-var-from-loop
                process.send_signal(number)
            assert process.wait(lib.DEADLINE_S) == status, words
        finally:
            process.kill()
            process.wait()
            os.close(read_fd)


def case_stdout_full_signals():
    """with stdout full, an alarm from before exec ends sub, and --timeout does while the parent blocks SIGALRM"""
    fill("full", [b"x" * 1000] * 900)
    for before, words, status in ((lambda: signal.alarm(2), (), -signal.SIGALRM),
                                  (lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGRTMIN]),
                                   ("--timeout", "1s"), 1)):
        read_fd, write_fd = os.pipe()
        process = start("sub", "full", "--from", "last:900", "--raw", *words, stdout=write_fd, preexec_fn=before)
        os.close(write_fd)
        try:
            assert ended(process)[0] == status, words
        finally:
            process.kill()
            os.close(read_fd)


def in_write(process):
    """Its output has filled a pipe, and it sleeps in the write to it."""
    found = {}
    for name in ("wchan", "syscall", "stat"):
        with open(f"/proc/{process.pid}/{name}", encoding="utf-8") as f:
            found[name] = f.read()
    blocked = "pipe" in found["wchan"] or found["syscall"].split()[0] in ("1", "64")
    return found["stat"].rsplit(") ", 1)[1][0] == "S" and blocked


def case_stdout_gone():
    """sub ends with status 0 when its reader closes a pipe, a socket or a terminal, also while no message comes"""
    fill("gone", [b"x"])
    for kind in ("pipe", "socket", "terminal"):
        if kind == "pipe":
            ours, theirs = os.pipe()
        elif kind == "socket":
            ours, theirs = (s.detach() for s in socket.socketpair())
        else:
            ours, theirs = pty.openpty()
        process = start("sub", "gone", "--from", "last:1", "--raw", stdout=theirs)
        os.close(theirs)
        assert os.read(ours, 1) == b"x"
        os.close(ours)
        assert ended(process) == (0, ""), kind


def case_stdout_wrong():
    """a full disk, a closed stdout and one that is open for reading are named; output never goes into another descriptor"""
    fill("wrong/out", [b"x"] * 10)
    with open("/dev/full", "wb") as full:
        status, err = ended(start("sub", "wrong/out", "--from", "oldest", "--count", "3", "--frame", stdout=full))
    assert (status, err) == (1, "aether-cli: can't write the output: No space left on device: free some room there\n")
    with open("/dev/null", "rb") as null:
        status, err = ended(start("sub", "wrong/out", "--from", "oldest", "--count", "3", stdout=null))
    assert (status, err) == (1, "aether-cli: can't write the output: stdout isn't open for writing\n")
    for form in ("--raw", "--json", "--frame", "-0", ""):
        assert run_closed(f"sub wrong/out --from oldest --count 3 {form}", ">&-") == (
            1, b"", "aether-cli: can't write the output: stdout isn't open for writing\n"), form
    assert run_closed("sub wrong/out --from oldest --count 3 --raw", "2>&- <&-") == (0, b"x\n" * 3, "")
    assert run_closed("help", ">&-")[0] == 1


def case_supervised():
    """with stdin from /dev/null and both outputs in one socket, as under a supervisor, SIGTERM ends sub after what it has"""
    ours, theirs = socket.socketpair()
    fill("supervised", [b"a", b"b"])
    process = start("sub", "supervised", "--from", "oldest", "--raw", stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    theirs.close()
    ours.settimeout(lib.DEADLINE_S)
    got = b""
    while len(got) < 4:
        got += ours.recv(100)
    process.send_signal(signal.SIGTERM)
    assert process.wait(lib.HANG_S) == 143 and got == b"a\nb\n"
    assert ours.recv(100) == b""
    ours.close()


with DAEMON:
    lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
