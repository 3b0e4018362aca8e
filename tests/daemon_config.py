#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aetherd's command line and configuration file. An error ends it with 2, and one line says where the error is."""
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import BEST_EFFORT, Client, Daemon, refused  # noqa: E402

# Content of a file, number of the line with the error, and words that the text contains.
BAD_FILES = [
    ("[daemon]\nsocket =\n", 2, "socket"),
    ("[daemon]\nsocket = " + "x" * 108 + "\n", 2, "socket"),
    ("[daemon]\nlog_level = loud\n", 2, "loud"),
    ("[daemon]\nlog_level = Info\n", 2, "Info"),
    ("[daemon]\nlog_level =\n", 2, "log_level"),
    ("[daemon]\nlog_level = info\nlog_level = debug\n", 3, "log_level"),
    ("[daemon]\nport = 80\n", 2, "port"),
    ("[daemon]\ntopics = 8\n", 2, "topics"),
    ("[daemon]\nSocket = /x\n", 2, "Socket"),
    ("[server]\nsocket = /x\n", None, "server"),
    ("[limits]\ntopics = 0\n", 2, "topics"),
    ("[limits]\ntopics = -1\n", 2, "-1"),
    ("[limits]\ntopics = +1\n", 2, "+1"),
    ("[limits]\ntopics = 1.5\n", 2, "1.5"),
    ("[limits]\ntopics = 0x10\n", 2, "0x10"),
    ("[limits]\ntopics = 12 topics\n", 2, "12 topics"),
    ("[limits]\ntopics = 65537\n", 2, "65536"),
    ("[limits]\nclients = 16385\n", 2, "16384"),
    ("[limits]\ngrants = 262145\n", 2, "262144"),
    ("[limits]\ntopics = 99999999999999999999999\n", 2, "topics"),
    ("[limits]\ntopics = 4294967297\n", 2, "topics"),
    ("[limits]\nring_bytes = 100\n", 2, "ring_bytes"),
    ("[limits]\nring_bytes = 63K\n", 2, "isn't a size from 64K to 16T"),
    ("[limits]\nring_bytes = 64MB\n", 2, "64MB"),
    ("[limits]\ntopics = 1K\n", 2, "1K"),
    ("[limits]\ntopics = 5\n\n# a remark\n[daemon]\n[limits]\ntopics = 6\n", 7, "topics"),
    ("topics = 5\n", 1, "topics"),
    ("nonsense\n", 1, ""),
    ("[daemon\n", 1, ""),
    ("[daemon]\n= 5\n", 2, ""),
    ("[limits]\ntopics\n", 2, ""),
    ("[daemon]\n# " + "x" * 1000 + "\n", 2, "long"),
    ("[daemon]\nsocket = /" + "y" * 500 + "\n", 2, "long"),
    ("[daemon]\nlog_level = info\n  debug\n", 3, ""),
    ("[limits]\ntopics = 5\0 and more\n", 2, ""),
    ("[limitz]\n", 1, "limitz"),
    ("[limits] topics = 5\n", 1, ""),
    ("nonsense\n[limits]\ntopics = 0\n", 1, ""),
]

# Command lines and words that the text contains.
BAD_WORDS = [
    (["--sokcet", "/x"], "--sokcet"),
    (["--socket"], "--socket"),
    (["--config"], "--config"),
    (["--log-level"], "--log-level"),
    (["--log-level", "loud"], "loud"),
    (["--log-level="], "level"),
    (["--socket", ""], "socket"),
    (["--socket", "x" * 108], "socket"),
    (["--help=yes"], "--help"),
    (["-x"], "-x"),
    (["-xy"], "-xy"),
    (["start"], "start"),
    (["--", "start"], "start"),
    (["--print-config", "start"], "start"),
    (["--print-config=yes"], "--print-config"),
    (["--print-config", "--config", "/nonexistent/aetherd.conf"], "/nonexistent/aetherd.conf"),
    ([""], "''"),
    (["--config", "/nonexistent/aetherd.conf"], "/nonexistent/aetherd.conf"),
    (["--config", "/"], "/"),
]

SCRATCH = tempfile.mkdtemp(prefix="aether-test-")
ENV = {**os.environ, "AETHER_SOCKET": os.path.join(SCRATCH, "must-not-be-used", "d.sock")}


def run_daemon(*arguments):
    return subprocess.run([lib.AETHERD, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=lib.HANG_S, env=ENV, check=False)


def misreported(arguments, *words):
    """None if aetherd reports the error as it should, or what is wrong with its report."""
    done = run_daemon(*arguments)
    text = done.stderr.decode(errors="replace")
    if done.returncode != 2:
        return f"ended with {done.returncode}: {text!r}"
    if done.stdout or text.count("\n") != 1 or not text.startswith("aetherd: "):
        return f"isn't one line on stderr: {text!r} {done.stdout!r}"
    for word in words:
        if word not in text:
            return f"{word!r} isn't in {text!r}"
    return None


def case_files():
    """bad configuration lines"""
    path = os.path.join(SCRATCH, "bad.conf")
    wrong = []
    for content, line, word in BAD_FILES:
        with open(path, "w", encoding="utf-8") as f:
            f.write(content)
        report = misreported(["--config", path], f"{path}:" if line is None else f"{path}:{line}:", word)
        if report is not None:
            wrong.append(f"{content[:60]!r}: {report}")
    assert not wrong, "\n".join(wrong)


def case_words():
    """bad command lines"""
    wrong = [f"{words}: {report}" for words, word in BAD_WORDS for report in [misreported(words, word)] if report is not None]
    assert not wrong, "\n".join(wrong)


def case_help():
    """-h, --help and --version end with 0 and print on stdout"""
    summary = ("--config", "--socket", "--log-level", "Exit codes")
    for option, words in (("-h", summary), ("--help", summary), ("--version", ("aetherd ",))):
        done = run_daemon(option)
        assert done.returncode == 0 and done.stderr == b""
        for word in words:
            assert word in done.stdout.decode()


def printed(*arguments):
    """The configuration that aetherd prints."""
    done = run_daemon(*arguments, "--print-config")
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    return done.stdout.decode()


def case_print():
    """--print-config prints the settings in effect as a file that gives the same settings"""
    path = os.path.join(SCRATCH, "printed.conf")
    text = printed()
    assert "#topics = 1024\n" in text and "#log_level = info\n" in text and "/must-not-be-used" not in text
    config = "[limits]\ntopics = 5 ; few\nclients = 1024\n[daemon]\nlog_level = error\n"
    with open(path, "w", encoding="utf-8") as f:
        f.write(config)
    text = printed("--config", path, "--log-level", "debug", "--socket", "/nonexistent/a b;c")
    for line in ("topics = 5", "#clients = 1024", "#grants = 8192", "log_level = debug", "socket = /nonexistent/a b;c"):
        assert f"\n{line}\n" in text, f"{line}: {text}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    assert printed("--config", path) == text
    wrong = misreported(["--config", path, "--socket", "/a ;b", "--print-config"], "socket", "/a ;b") or ""
    assert wrong.startswith("isn't one line on stderr") and "can't stand in a file" in wrong, wrong


def case_full():
    """what can't be written to stdout is an error, of every service"""
    for program in (lib.AETHERD, os.environ.get("AETHER_METRICS")):
        for option in ("--version", "--help", "--print-config") if program else ():
            with open("/dev/full", "wb") as full:
                done = subprocess.run([program, option], stdout=full, stderr=subprocess.PIPE, env=ENV, check=False, text=True)
            assert done.returncode == 1 and done.stderr.count("\n") == 1, f"{program} {option}: {done}"
            assert done.stderr == f"{os.path.basename(program)}: can't write the output: No space left on device: free some room there\n", done.stderr


def case_sample():
    """the sample configuration is what aetherd prints, and is accepted as it is and with every setting uncommented"""
    sample = os.path.join(os.environ.get("SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")), "data/aetherd.conf")
    with open(sample, encoding="utf-8") as f:
        text = f.read()
    assert text == printed(), "data/aetherd.conf is old: aetherd --print-config >data/aetherd.conf"
    on = "".join(line[1:] if line.startswith("#") and line[1:2] != " " and "=" in line else line for line in text.splitlines(True))
    assert on.count("\n#") == text.count("\n#") - 7, "every setting"
    for config in (text, on.replace("/var/log/aetherd.log", os.path.join(SCRATCH, "sample.log"))):
        with Daemon(config=config) as daemon, Client(daemon.path) as client:
            assert client.create("t").type == lib.DONE
            assert "warning" not in daemon.log(), daemon.log()
            assert daemon.stop() == 0


def case_values():
    """values of the file are used, its comments and blanks are ignored, and the command line overrides it"""
    config = "\ufeff; remark\n[limits]\ntopics=1 ; remark\n\r\n[daemon]\nlog_level : error\r\nsocket = /nonexistent/d.sock\n[limits]\ngrants = 1"
    with Daemon(config=config) as daemon, Client(daemon.path) as client:
        assert daemon.log() == "", "the level is error"
        assert client.create("a", capacity=8).type == lib.DONE
        assert client.create("b", capacity=8).type == lib.ERROR
        reply = client.open(BEST_EFFORT, "a")
        assert reply.type == lib.OPENED
        reply.close()
        assert client.open(BEST_EFFORT, "a").type == lib.ERROR
    with Daemon("--log-level", "debug") as daemon, Client(daemon.path, "who\nforged") as client:
        client.create("t", capacity=8)
        client.remove("u")
        log = daemon.log()
        for line in ("HELLO 'who?forged': done", "CREATE 't': done", "REMOVE 'u': there is no topic 'u'"):
            assert line in log, f"{line}: {log}"
    with Daemon("--log-level", "info", config="[daemon]\nlog_level = error\n") as daemon:
        lib.await_true(lambda: "listening" in daemon.log(), "the log says so")  # which it does after it can be connected to


def case_socket_from_file():
    """the path of the socket is read from the file"""
    with Daemon(start=False) as daemon:
        conf = os.path.join(daemon.dir, "conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f"[daemon]\nsocket = {daemon.path}\n")
        with open(daemon.log_path, "wb") as log:
            daemon.process = subprocess.Popen([lib.AETHERD, "--config", conf], stdin=subprocess.DEVNULL, stderr=log, env=ENV)
        lib.await_true(lambda: daemon.serves(None), "the daemon listens")
        Client(daemon.path).end()


# ---- signals ----


def await_log(path, *words):
    """Waits until a log has a line with all words, and returns the log."""

    def found():
        text = read(path) if os.path.exists(path) else ""
        return text if any(all(word in line for word in words) for line in text.splitlines()) else None

    return lib.await_true(found, f"{words} in {path}")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    """Replaces a file as an editor does."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


def case_hangup():
    """SIGHUP reads the file again: what can change does, what can't is logged, and a bad file changes nothing"""
    with Daemon(config="[limits]\ntopics = 9\n") as daemon, Client(daemon.path) as client:
        conf, log = os.path.join(daemon.dir, "conf"), daemon.log_path
        assert client.create("t", capacity=16384).type == lib.DONE
        assert "CREATE" not in daemon.log()
        write(conf, "[daemon]\nlog_level = debug\nsocket = /elsewhere\n[limits]\ntopics = 8\nring_bytes = 64K\n")
        daemon.process.send_signal(signal.SIGHUP)
        await_log(log, "settings read again from", conf)
        text = daemon.log()
        assert "warning [limits] topics has another value in the file now: it needs a restart" in text, text
        # --socket is on the command line, which overrides the file then as now.
        assert text.count("needs a restart") == 1 and "/elsewhere" not in text, text
        refused(client.create("u", capacity=16384), errno.ENOSPC, "64 KiB")
        await_log(log, "debug", "CREATE 'u'")
        for bad, words in (("[limits]\ntopics = 0\n", (":2:", "topics")), ("[daemon]\nlog_level = error\nlog = /nonexistent/x\nnonsense\n", (":4:",))):
            write(conf, bad)
            daemon.process.send_signal(signal.SIGHUP)
            await_log(log, "warning", conf, "the settings stay as they are", *words)
            refused(client.create("u", capacity=16384), errno.ENOSPC, "64 KiB")
        os.unlink(conf)
        daemon.process.send_signal(signal.SIGHUP)
        await_log(log, "warning", "No such file", "the settings stay as they are")
        count = daemon.log().count("CREATE 'u'")
        refused(client.create("u", capacity=16384), errno.ENOSPC, "64 KiB")
        lib.await_true(lambda: daemon.log().count("CREATE 'u'") > count, "the level is still debug")
        os.mkfifo(conf)  # which nobody writes
        daemon.process.send_signal(signal.SIGHUP)
        await_log(log, "warning", "isn't a regular file", "the settings stay as they are")
        os.unlink(conf)
        write(conf, "[limits]\ntopics = 9\n")
        daemon.process.send_signal(signal.SIGHUP)
        lib.await_true(lambda: daemon.log().count("settings read again") == 2, "the file is read")
        assert client.create("u", capacity=16384).type == lib.DONE
        assert daemon.log().count("needs a restart") == 1, "topics is what it was"
        assert daemon.stop() == 0
    with Daemon("--log-level", "warning", config="[daemon]\nlog_level = info\n") as daemon, Client(daemon.path):
        write(os.path.join(daemon.dir, "conf"), "[daemon]\nlog_level = debug\nlog = /nonexistent/log\n")
        daemon.process.send_signal(signal.SIGHUP)
        await_log(daemon.log_path, "log file /nonexistent/log: No such file", "the log stays where it is")
        assert "info" not in daemon.log(), "the command line overrides the file"


def case_signals_without_files():
    """SIGHUP and SIGUSR1 end nothing, also without a configuration file and a log file, and as early as possible"""
    with Daemon() as daemon, Client(daemon.path) as client:
        daemon.process.send_signal(signal.SIGHUP)
        await_log(daemon.log_path, "SIGHUP: started without --config")
        daemon.process.send_signal(signal.SIGUSR1)
        await_log(daemon.log_path, "SIGUSR1: the log goes to standard error")
        assert client.create("t").type == lib.DONE
        assert daemon.stop() == 0
    for number in (signal.SIGHUP, signal.SIGUSR1):
        with Daemon(start=False) as daemon:
            # The signal is pending when aetherd begins.
            script = f"import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}]); " \
                     f"os.kill(os.getpid(), {int(number)}); os.execv(sys.argv[1], sys.argv[1:])"
            daemon.wrapper = [sys.executable, "-c", script]
            daemon.start()
            with Client(daemon.path) as client:
                assert client.create("t").type == lib.DONE
            assert daemon.stop() == 0


def case_log_file():
    """--log appends to a file, which SIGUSR1 opens anew after it was renamed; a log that can't be opened is an error"""
    with Daemon(start=False) as daemon:
        log, old = os.path.join(daemon.dir, "a.log"), os.path.join(daemon.dir, "a.log.1")
        write(log, "before\n")
        daemon.options = ["--log", log]
        daemon.start()
        assert read(log).startswith("before\n") and daemon.log() == ""
        await_log(log, "listening at")
        os.rename(log, old)
        daemon.process.send_signal(signal.SIGUSR1)
        await_log(log, "log file opened anew")
        os.rename(log, old)
        os.mkdir(log)
        daemon.process.send_signal(signal.SIGUSR1)
        await_log(old, f"log file {log}: Is a directory: the log stays where it is")
        os.rmdir(log)
        assert daemon.stop() == 0
        assert read(old).endswith("stopped\n")
        code = subprocess.run([lib.AETHERD, "--socket", daemon.path, "--log", "/nonexistent/log"], stderr=subprocess.PIPE, check=False)
        assert code.returncode == 1 and code.stderr == b"aetherd: log file /nonexistent/log: No such file or directory\n", code
        # Why it can't start is in the log, too: a supervisor may have dropped stderr.
        done = run_daemon("--log", log, "--socket", "/nonexistent/s")
        assert done.returncode == 1 and b"/nonexistent" in done.stderr and "error   there is no directory" in read(log)


def case_reload_under_load():
    """no request is lost and no line of the log while settings are read again and the log is opened anew"""
    with Daemon(start=False, config="[daemon]\nlog_level = debug\n") as daemon:
        log = os.path.join(daemon.dir, "a.log")
        daemon.options += ["--log", log]
        daemon.start()
        stop, counts, errors = threading.Event(), [], []

        def load(number):
            done = 0
            try:
                with Client(daemon.path, f"load{number}") as client:
                    while not stop.is_set():
                        for reply in (client.create(f"t{number}", capacity=8), client.remove(f"t{number}")):
                            assert reply.type == lib.DONE, reply.text
                            done += 1
                    counts.append(done)
            except BaseException as error:  # the main thread reports it
                errors.append(error)

        threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(40):
                os.rename(log, f"{log}.{turn}")
                daemon.process.send_signal(signal.SIGUSR1)
                await_log(log, "log file opened anew")
                write(os.path.join(daemon.dir, "conf"), f"[daemon]\nlog_level = debug\n[limits]\nring_bytes = {turn + 1}M\n")
                daemon.process.send_signal(signal.SIGHUP)
                await_log(log, "settings read again")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not errors and len(counts) == 3, errors
        assert daemon.stop() == 0
        lines = "".join(read(name) for name in [log] + [f"{log}.{turn}" for turn in range(40)])
        assert lines.count("CREATE 't") + lines.count("REMOVE 't") == sum(counts)


try:
    lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
finally:
    shutil.rmtree(SCRATCH)
