#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--all] [--only SCENARIO[:CALL[:N[:ERRNO]]]] [--jobs N] [--record FILE] - each call into libc fails once.

A scenario is run once while preload.so counts the calls of the program under test. Then it is run again for each call
and each errno that the call's manual page lists (ERRNOS), and that call fails. Required of each run:

  * it ends in bounded time, and not by a signal;
  * if the program under test fails, it says why in one line, which names its subject, and the remedy by the errno;
  * nothing is left in /dev/shm, and the daemon has no more descriptors and clients than before.

Without --all a sample is run, as a test (TAP). --record writes all texts to FILE, sorted.
"""
import argparse
import concurrent.futures
import dataclasses
import errno
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import daemon_lib as lib  # noqa: E402
from daemon_lib import Client, Daemon  # noqa: E402

CLI = os.environ["AETHER_CLI"]
BIN = pathlib.Path(os.environ["TEST_BIN"])
PRELOAD, SESSION = BIN / "libfail_preload.so", BIN / "fail_session"
HANG_S = 900  # a program that doesn't get on in this time hangs, however busy the machine is
SAMPLE = 160

# What each call can give, by its page of the manual: the errors that come from the system's state, not from wrong
# arguments, and ENOSYS and EPERM where a kernel is old or a container's filter forbids the call.
OPEN = "EACCES EMFILE ENFILE ENOMEM"
ERRNOS = {
    "accept4": "EMFILE ENFILE ENOMEM ECONNABORTED EINTR EPERM",
    "access": "EACCES ENOENT",
    "aligned_alloc": "ENOMEM", "calloc": "ENOMEM", "malloc": "ENOMEM", "realloc": "ENOMEM", "open_memstream": "ENOMEM",
    "bind": "EACCES EADDRINUSE ENOMEM ENOSPC EROFS",
    "connect": "EACCES EAGAIN ECONNREFUSED EINTR ENOENT EPERM",
    "epoll_create1": "EMFILE ENFILE ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "eventfd": "EMFILE ENFILE ENOMEM",
    "fchmod": "EIO EPERM EROFS",
    "fcntl": "EAGAIN ENOLCK EMFILE",
    "fflush": "ENOSPC EIO",
    "flock": "EINTR ENOLCK",
    "fopen": "EACCES EMFILE ENOENT",
    "fork": "EAGAIN ENOMEM",
    "fstat": "ENOMEM EOVERFLOW",
    "fstatat": "EACCES ENOENT ENOMEM",
    "ftruncate": "EFBIG EIO EINTR EPERM",
    "futex_wait": "EAGAIN EINTR ENOSYS",
    "futex_waitv": "EAGAIN EINTR ENOSYS EPERM",
    "getrandom": "EAGAIN EINTR ENOSYS",
    "getrlimit": "EPERM",
    "getsockopt": "ENOBUFS",
    "inotify_add_watch": "EACCES ENOENT ENOMEM ENOSPC",
    "inotify_init1": "EMFILE ENFILE ENOMEM",
    "kill": "EPERM ESRCH",
    "linkat": "EACCES EEXIST ENOENT ENOSPC EPERM",
    "listen": "EADDRINUSE",
    "lseek": "ENXIO",
    "lstat": "EACCES ENOENT ENOMEM",
    "madvise": "EAGAIN EIO ENOMEM EINVAL",
    "membarrier": "ENOSYS EPERM",
    "mkdir": "EACCES ENOENT ENOSPC EROFS",
    "mmap": "EACCES EAGAIN ENFILE ENOMEM EPERM",
    "mremap": "EAGAIN ENOMEM",
    "nanosleep": "EINTR",
    "open": f"{OPEN} EINTR ENOENT EROFS",
    "openat": f"{OPEN} ENOENT",
    "opendir": f"{OPEN} ENOENT",
    "pidfd_open": "EMFILE ENFILE ENOMEM ENOSYS EPERM ESRCH",
    "pipe2": "EMFILE ENFILE",
    "poll": "EINTR ENOMEM",
    "posix_fallocate": "EFBIG EINTR EIO ENOSPC ENODEV",
    "ppoll": "EINTR ENOMEM",
    "prctl": "EPERM",
    "pread": "EINTR EIO",
    "pthread_create": "EAGAIN EPERM",
    "pwrite": "EINTR EIO ENOSPC",
    "read": "EINTR EIO",
    "readlink": "EACCES ENOENT ENOMEM",
    "realpath": "EACCES ENOENT ENOMEM",
    "recvmsg": "ECONNRESET EINTR ENOMEM",
    "rename": "EACCES ENOSPC EROFS",
    "renameat2": "EACCES EEXIST EINVAL ENOSYS",
    "sendmsg": "ECONNRESET EINTR ENOBUFS ENOMEM EPIPE ETOOMANYREFS",
    "sendto": "ECONNREFUSED EINTR ENOBUFS ENOMEM",
    "setrlimit": "EPERM",
    "setsockopt": "ENOMEM",
    "shm_open": f"{OPEN} EEXIST ENOENT ENOSPC EROFS",
    "shm_unlink": "EACCES EPERM",
    "signalfd": "EMFILE ENFILE ENODEV ENOMEM",
    "socket": "EACCES EMFILE ENFILE ENOMEM ENOBUFS",
    "stat": "EACCES ENOENT ENOMEM",
    "statvfs": "EIO ENOMEM",
    "unlink": "EACCES EPERM EROFS",
    "unlinkat": "EACCES EPERM",
    "write": "EAGAIN EINTR EIO ENOSPC",
}
# Not tried: the calls that syscall() makes to wake a futex, and those of which the manual lists no such error.
LEFT_OUT = {"syscall"}
# check says all on stdout, so it can't say that its stdout fails in a way that stdio itself doesn't notice.
SILENT = {("cli-check", "fflush")}

# What a text must say about the errno: how the limit is raised, or what belongs to whom.
REMEDIES = {
    "EMFILE": r"ulimit -H?n",
    "ENFILE": r"file-max",
    "ENOSPC": r"\d (B|KiB|MiB|GiB)\b.*/dev/shm|(free some|make) room",
    "ENOMEM": r"memory",
    "EACCES": r"\buid\b|\bmode\b|permission|may write to",
    "EPERM": r"\buid\b|\bmode\b|seccomp|filter",
    "ENOSYS": r"kernel",
    "ETOOMANYREFS": r"ulimit -n",
    "epoll_ctl:ENOSPC": r"max_user_watches",
    "mmap:EAGAIN": r"ulimit -l", "madvise:EAGAIN": r"ulimit -l", "mremap:EAGAIN": r"ulimit -l",
    "pthread_create:EAGAIN": r"ulimit -u",
}
SUBJECT = re.compile(r"/|'|\"|socket|memory|descriptor|thread|aetherd|futex|signal|epoll|output|random|process|object|file|token|aether-")


@dataclasses.dataclass
class Outcome:
    """How a run of a program ended."""

    status: int
    text: str  # what it wrote to stderr
    seconds: float = 0
    complaint: str = ""  # of the scenario itself


def run(argv, env, stdin=subprocess.DEVNULL):
    # check writes its one line to stdout, as monitoring plugins do.
    check = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if "check" in argv else \
        {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    start = time.monotonic()
    with subprocess.Popen(argv, env={**os.environ, **env}, stdin=stdin, text=True, errors="replace", **check) as process:
        try:
            text = "".join(filter(None, process.communicate(timeout=HANG_S)))
        except subprocess.TimeoutExpired:
            process.kill()
            text = "".join(filter(None, process.communicate())) + "\nrun.py: it hangs"
    return Outcome(process.returncode, text, time.monotonic() - start)


# ---- scenarios: each is a function of the environment of the program under test ----


class World:
    """A daemon for the runs of one worker, and what it looks like while nobody uses it."""

    def __init__(self):
        self.daemon = Daemon()
        self.before = self.daemon.objects(), self.daemon.fds()

    def end(self):
        self.daemon.__exit__()

    def restore(self):
        """Removes what a run has left on purpose. Returns a complaint if more is left."""
        topics = subprocess.run([CLI, "--socket", self.daemon.path, "--topics"], stdout=subprocess.PIPE, text=True,
                                check=False).stdout.split("\n")[:-1]
        with Client(self.daemon.path) as client:
            for topic in topics:
                lib.await_true(lambda topic=topic: client.remove(topic).type == lib.DONE, f"{topic} is free")
            client.end()
        try:
            lib.await_true(lambda: self.daemon.objects() == self.before[0] and self.daemon.fds() <= self.before[1], "clean")
        except AssertionError:
            return f"left: {set(self.daemon.objects()) - set(self.before[0])}, descriptors {self.before[1]} -> {self.daemon.fds()}"
        return ""


def client(world, *words, stdin=None):
    def scenario(env):
        with (open(stdin, "rb") if stdin else open(os.devnull, "rb")) as source:
            outcome = run([*words], {**env, "AETHER_SOCKET": world.daemon.path}, source)
        outcome.complaint = world.restore()
        return outcome

    return scenario


def session(world):
    return client(world, str(SESSION), world.daemon.path, "t")


def prepared(world, *words, stdin=None):
    """A command that needs a topic with a message and a publisher."""
    inner = client(world, CLI, *words, stdin=stdin)

    def scenario(env):
        subprocess.run([CLI, "--socket", world.daemon.path, "pub", "t", "message"], check=True)
        return inner(env)

    return scenario


def daemon_lines(text):
    """The line of an error; the log has lines with a time."""
    return [line for line in text.split("\n") if line and not re.match(r"\d{4}-\d\d-\d\dT", line)]


def with_daemon(world, action, leftovers=False):
    """aetherd under test: it starts, action uses it, and it stops. Its outcome, and that of the action."""

    def scenario(env):
        with Daemon(start=False) as daemon:
            if leftovers:
                daemon.start()
                keeper = Client(daemon.path)
                keeper.open(lib.PUBLISHER, "kept")
                daemon.kill()
            old, start = daemon.socket_inode(), time.monotonic()
            process = subprocess.Popen([lib.AETHERD, "--socket", daemon.path], env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=open(daemon.log_path, "wb"))
            daemon.process = process
            deadline = time.monotonic() + HANG_S
            while process.poll() is None and daemon.socket_inode() in (None, old) and time.monotonic() < deadline:
                time.sleep(0.002)
            said = action(daemon, process) if process.poll() is None else ""
            if leftovers:
                keeper.end()
            if process.poll() is None:
                process.terminate()
            try:
                status = process.wait(HANG_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = -999
            outcome = Outcome(status, daemon.log(), time.monotonic() - start, said or "")
            left = [name for name in daemon.objects() if "counts" not in name]
            if status == 0 and left and not leftovers and "cannot remove" not in outcome.text:
                outcome.complaint += f" left {left}"
            return outcome

    del world
    return scenario


def idle(_daemon, _process):
    return ""


def use(daemon, process):
    """A session with the daemon under test. It may fail, but in one line; the daemon itself may end only with a text."""
    outcome = run([str(SESSION), daemon.path, "t"], {})
    if outcome.status == 0 or process.poll() is not None:
        return ""
    if outcome.status < 0 or len(outcome.text.strip().split("\n")) != 1:
        return f"the session with it: {outcome}"
    return ""


SCENARIOS = {
    "daemon-start": lambda world: with_daemon(world, idle),
    "daemon-adopt": lambda world: with_daemon(world, idle, leftovers=True),
    "daemon-use": lambda world: with_daemon(world, use),
    "client": session,
    "cli-pub": lambda world: client(world, CLI, "pub", "t", "message"),
    "cli-pub-lines": lambda world: client(world, CLI, "pub", "t", stdin=__file__),
    "cli-sub": lambda world: prepared(world, "sub", "t", "--from", "oldest", "--count", "1"),
    "cli-create": lambda world: client(world, CLI, "topic", "create", "t"),
    "cli-rm": lambda world: prepared(world, "topic", "rm", "t"),
    "cli-ls": lambda world: prepared(world, "topic", "ls"),
    "cli-info": lambda world: prepared(world, "topic", "info", "t"),
    "cli-stats": lambda world: prepared(world, "stats", "--json"),
    "cli-lag": lambda world: prepared(world, "lag"),
    "cli-clients": lambda world: prepared(world, "clients"),
    "cli-check": lambda world: prepared(world, "check"),
}

# ---- runs ----


def counts(path):
    data = path.read_bytes()
    for at in range(0, len(data) - 31, 32):
        name, count, failed = struct.unpack_from("24sII", data, at)
        yield name.rstrip(b"\0").decode(), count, failed


@dataclasses.dataclass(frozen=True)
class Case:
    """The number-th call of a scenario fails."""

    scenario: str
    call: str
    number: int
    code: str

    def __str__(self):
        return f"{self.scenario}:{self.call}:{self.number}:{self.code}"


class Worker:
    """Runs cases one after another."""

    def __init__(self):
        self.world = World()
        self.counts = pathlib.Path(tempfile.mkstemp(prefix="aether-test-counts-")[1])

    def end(self):
        self.world.end()
        self.counts.unlink()

    def calls(self, scenario):
        """The calls of the scenario when nothing fails."""
        self.counts.write_bytes(b"")
        outcome = SCENARIOS[scenario](self.world)({"LD_PRELOAD": str(PRELOAD), "FAIL_COUNTS": str(self.counts)})
        assert outcome.status == 0 and not outcome.complaint, f"{scenario} fails by itself: {outcome}"
        return [(name, count) for name, count, _ in counts(self.counts) if count > 0]

    def run(self, case):
        """(outcome, complaints) of a case; no outcome if the call wasn't made."""
        self.counts.write_bytes(b"")
        env = {"LD_PRELOAD": str(PRELOAD), "FAIL_COUNTS": str(self.counts),
               "FAIL": f"{case.call}:{case.number}:{getattr(errno, case.code)}"}
        outcome = SCENARIOS[case.scenario](self.world)(env)
        if not any(failed for _, _, failed in counts(self.counts)):
            return None, [outcome.complaint] if outcome.complaint else []
        return outcome, list(complaints(case, outcome))


def complaints(case, outcome):
    daemon = case.scenario.startswith("daemon")
    if outcome.complaint:
        yield outcome.complaint
    if outcome.status < 0:
        yield f"ended by signal {-outcome.status}"
    if "it hangs" in outcome.text:
        yield "it hangs"
    lines = daemon_lines(outcome.text) if daemon else [line for line in outcome.text.split("\n") if line]
    if outcome.status == 0:
        return
    if len(lines) != 1 and (case.scenario, case.call) not in SILENT:
        yield f"{len(lines)} lines, not one"
    for line in lines:
        words = re.sub(r"^(aether-cli: |aetherd: |session: [a-z ]+: |AETHER [A-Z]+ - )", "", line)
        if not SUBJECT.search(words):
            yield "the text names no subject"
        remedy = REMEDIES.get(f"{case.call}:{case.code}", REMEDIES.get(case.code, ""))
        if os.strerror(getattr(errno, case.code)) in words and not re.search(remedy, words):
            yield "the text names no remedy"


def all_cases(worker, only):
    """The cases in a fixed order, and the calls of each scenario."""
    wanted = only.split(":") if only else []
    for scenario in SCENARIOS:
        if wanted and wanted[0] != scenario:
            continue
        for call, count in worker.calls(scenario):
            if call in LEFT_OUT or len(wanted) > 1 and wanted[1] != call:
                continue
            for number in range(1, count + 1):
                for code in ERRNOS[call].split():
                    case = Case(scenario, call, number, code)
                    if all(want in ("", got) for want, got in zip(wanted[2:], (str(number), code))):
                        yield case


def sample(cases):
    """Those with the smallest hashes, so that a new call doesn't change which others are run."""
    return sorted(sorted(cases, key=lambda case: zlib.crc32(str(case).encode()))[:SAMPLE], key=str)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--record", type=pathlib.Path)
    options = parser.parse_args()
    local, workers, lock = threading.local(), [], threading.Lock()

    def work(case):
        if not hasattr(local, "worker"):
            local.worker = Worker()
            with lock:
                workers.append(local.worker)
        try:
            return case, *local.worker.run(case)
        except Exception as error:  # the case has failed, and the others run
            local.worker = Worker()
            with lock:
                workers.append(local.worker)
            return case, None, [f"{type(error).__name__}: {error}"]

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemons are ended, too
    first = Worker()
    workers.append(first)
    records, bad, missed = [], 0, 0
    try:
        cases = list(all_cases(first, options.only))
        total = len(cases)
        if not options.all and not options.only:
            cases = sample(cases)
        print(f"# {len(cases)} of {total} cases", flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for case, outcome, wrong in pool.map(work, cases):
                if options.verbose:
                    print(f"# {case}", flush=True)
                text = "" if outcome is None else outcome.text
                for complaint in wrong:
                    bad += 1
                    print(f"# {case}: {complaint}\n#     {text.strip()!r}", flush=True)
                missed += outcome is None and not wrong
                if outcome is not None:
                    records.append({"case": str(case), "status": outcome.status, "text": text.strip()})
    finally:
        for worker in workers:
            worker.end()
    if options.record:
        options.record.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
    print(f"1..1\n{'not ok' if bad else 'ok'} 1 - {len(records)} failing calls are reported, {missed} weren't made")
    return 1 if bad else 0


sys.exit(main())
