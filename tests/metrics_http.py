#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aether-metrics as a real process: paths, methods, headers, limits, bad requests, a daemon that comes and goes."""
import base64
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import Daemon  # noqa: E402
import metrics_lib  # noqa: E402
from metrics_lib import Metrics, cli  # noqa: E402

SCRATCH = tempfile.mkdtemp(prefix="aether-test-")
NOWHERE = os.path.join(SCRATCH, "nowhere.sock")
SOURCE = os.environ.get("SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# Connections that do nothing, or too slowly, run while the other cases do; the last case sees what became of them.
SLOW = Metrics(NOWHERE)


class Slow(threading.Thread):
    """A connection with the beginning of a request, and then a piece of it now and then, until the server closes it."""

    def __init__(self, piece):
        super().__init__(daemon=True)
        self.piece = piece
        self.sock = SLOW.socket()
        self.sock.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        self.sock.settimeout(0.5 if piece else None)
        self.start()

    def run(self):
        while True:
            try:
                if self.sock.recv(4096) == b"":
                    return
            except TimeoutError:
                pass
            except OSError:
                return
            try:
                self.sock.send(self.piece)
            except OSError:
                return


SLOW_ONES = {"silent": Slow(b""), "dribbling": Slow(b"x")}


# ---- paths, methods, headers ----


def case_paths():
    """each path answers, with the headers that keep a browser from keeping, framing and sharing it"""
    expected = {
        "/": "text/html; charset=utf-8",
        "/metrics": "text/plain; version=0.0.4; charset=utf-8",
        "/api/topics.json": "application/json",
        "/healthz": "text/plain; charset=utf-8",
        "/readyz": "text/plain; charset=utf-8",
        "/favicon.ico": "image/svg+xml",
        "/nothing": "text/plain; charset=utf-8",
    }
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        for path, content_type in expected.items():
            response = metrics.request(path)
            headers = response.headers
            assert response.status == (404 if path == "/nothing" else 200), f"{path}: {response.status}"
            assert headers["Content-Type"] == content_type, f"{path}: {headers['Content-Type']}"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Connection"] == "close"
            assert not any(name.lower().startswith("access-control-") for name in headers)
            assert int(headers["Content-Length"]) == len(response.body) > 0
            head = metrics.request(path, "HEAD")
            assert (head.status, head.body) == (response.status, b"")
            assert head.headers["Content-Type"] == content_type
        assert metrics.get("/healthz") == "ok\n" and metrics.get("/readyz") == "ready\n"
        assert metrics.get("/healthz?x=1&topic=y") == "ok\n"


def case_methods():
    """other methods are 405, also with a body, and change nothing"""
    with Metrics(NOWHERE) as metrics:
        for path in ("/metrics", "/", "/nothing"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY"):
                response = metrics.request(path, method)
                assert response.status == 405, f"{method} {path}: {response.status}"
                assert response.headers["Allow"] == "GET, HEAD"
        assert b" 405 " in metrics.raw(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        assert b" 400 " in metrics.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        assert b" 400 " in metrics.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def case_clients():
    """what real clients send beside a path is answered: curl, wget, ab, Go, requests, browsers, proxies"""
    headers = {
        "Content-Length: 0": 200, "Content-Length: 00": 200, "Content-Length: 5": 400, "Content-Length: 0\r\nContent-Length: 5": 400,
        "Content-Length: x": 400, "Transfer-Encoding: identity": 400, "Range: bytes=0-1": 200, "Accept-Encoding: gzip": 200,
        "TE: trailers": 200, "If-None-Match: *": 200, "If-Modified-Since: Sat, 28 Nov 2026 05:14:28 GMT": 200,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk": 200, "Connection: keep-alive": 200,
        "Cookie: " + "name=value; " * 300: 200, "X-Forwarded-For: 192.0.2.1, 192.0.2.2": 200, "X-Prometheus-Scrape-Timeout-Seconds: 10": 200,
        "Accept: */*;q=0.1, nonsense;;q=": 200, "Authorization: Basic eDp5": 200, "Origin: null\r\nSec-Fetch-Mode: cors": 200,
    }
    with Metrics(NOWHERE) as metrics:
        for path, body in (("/healthz", b"ok\n"), ("/metrics", b"aether_daemon_running 0\n"), ("/page.css", b"")):
            for header, expected in headers.items():
                answer = metrics.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
                assert status(answer) == expected and (expected != 200 or body in answer), f"{path} {header}: {answer}"
        for method in ("POST", "PUT", "OPTIONS"):
            for header in ("Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue"):
                answer = metrics.raw(f"{method} /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
                answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                assert status(answer) == 405, f"{method} {header}: {answer}"
        answer = metrics.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n")
        assert answer.endswith(b"\r\n\r\nok\n") and b" 200 OK" in answer
        for line in (b"GET /healthz HTTP/1.0\r\n", b"GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n", b"HEAD /metrics HTTP/1.0\r\n"):
            assert status(metrics.raw(line + b"\r\n")) == 200, line
        assert status(metrics.raw(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 405


def case_targets():
    """only the path itself is the path, in each spelling that means the same; a host in it counts as Host does"""
    expected = {
        "/healthz": 200, "/healthz?": 200, "/healthz?%00": 200, "/%68ealth%7A": 200, "/healthz%00": 404, "/healthz%00x": 404,
        "/healthz%0a": 404, "/healthz%20": 404, "/healthz%": 404, "/healthz%zz": 404, "/healthz/": 404, "//healthz": 404, "/%2fhealthz": 404,
        "/./healthz": 404, "/x/../healthz": 404, "/healthz;x": 404, "/healthz%3F": 404, "/HEALTHZ": 404, "healthz": 404, "*": 404,
        "/page.css%00.html": 404, "/api/topics.json%00": 404, "/api%2Ftopics.json": 404, "/metrics%00": 404, "/readyz%00": 404, "/%00": 404,
        "http://localhost/healthz": 200, "HTTP://127.0.0.1:1/healthz?x": 200, "http://localhost": 200, "http://localhost?x": 200,
        "http://evil.example/healthz": 403, "http://localhost.evil.example/healthz": 403, "http://x@localhost/healthz": 403,
        "http:///healthz": 403, "https://localhost/healthz": 404,
    }
    with Metrics(NOWHERE) as metrics:
        for target, code in expected.items():
            answer = metrics.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert status(answer) == code, f"{target}: {answer}"
        answer = metrics.raw(b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert status(answer) == 200, "the host of the target counts"


def case_arguments():
    """any number of arguments is answered: those up to 2000 bytes as if they weren't there, more with 414"""
    with Metrics(NOWHERE) as metrics:
        for count in [*range(100, 990, 30), 1000, 2000, 4000, 8000]:
            for form in ("a&", "&", "a=&", "%00="):
                target = "/healthz?" + form * count
                # The stream stays open: without an answer the connection would be closed only for its silence.
                with metrics.socket() as sock:
                    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    answer = metrics_lib.read_all(sock)
                assert status(answer) == (200 if len(target) <= 2000 else 414), f"{len(target)} bytes of {form}: {answer}"
        assert metrics.json("?" + "a&" * 500 + "topic=t")["topics"] == []


def case_negotiation():
    """OpenMetrics is given to those that ask for it, such as Prometheus, and is the same metrics"""
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        cli(daemon, "pub", "t", "x")
        response = metrics.request("/metrics", headers={"Accept": accept})
        text = response.body.decode()
        assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert response.headers["Vary"] == "Accept"
        assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
        plain = metrics.get("/metrics", Accept="text/plain")
        assert "# EOF" not in plain and "# UNIT" not in plain
        assert metrics_lib.samples(text).keys() == metrics_lib.samples(plain).keys()


def case_host():
    """requests for other names are refused: a web page can't read the metrics by a name of its own"""
    with Metrics(NOWHERE) as metrics:
        port = metrics.address[1]
        for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}", f"[::1]:{port}", "127.0.0.2"):
            assert metrics.request("/metrics", headers={"Host": host}).status == 200, host
        for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "10.0.0.1", "", "::1", "a b"):
            for path in ("/metrics", "/", "/healthz", "/api/topics.json"):
                response = metrics.request(path, headers={"Host": host})
                assert response.status == 403 and b"Host" in response.body, f"{host!r}: {response.status}"
        assert b" 200 " in metrics.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 400 " in metrics.raw(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert b" 400 " in metrics.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")


# ---- bad requests and limits ----


def case_bad_requests():
    """whatever bytes come, the answer is an error or an end, and the next request is answered"""
    bad = [
        b"", b"\r\n", b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics\r\n\r\n", b"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\0" * 100, b"\xff" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET " + b"/" * 20000,
        b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\nHost localhost\n\n", b"GET /metrics HTTP/1.1\r\n Host: localhost\r\n\r\n",
        b"A" * 100 + b" /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics%0a HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET //metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\n",
        b"GET /api/topics.json?topic HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /api/topics.json?topic= HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/topics.json?topic=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/topics.json?topic=a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/topics.json?topic=" + b"x" * 256 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    with Metrics(NOWHERE) as metrics:
        for data in bad:
            answer = metrics.raw(data)
            status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.") else b"none"
            assert status in (b"none", b"400", b"403", b"404", b"405", b"413", b"414", b"431", b"505", b"501"), f"{data[:60]}: {answer[:200]}"
            assert metrics.get("/healthz") == "ok\n"
        for query in ("?topic=%FF%FE", "?topic=%", "?topic=%zz", "?topic=a&topic=b", "?other=1", "?topic=" + "%ff" * 255):
            assert metrics.json(query)["topics"] == [], query
        assert metrics.log().count("\n") <= 2, metrics.log()  # ready, and that there is no instance
        assert metrics.stop() == 0


def case_many_connections():
    """more connections than are served wait, and end nobody else's request; a scrape by all of them at once works"""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        cli(daemon, "pub", "t", "x")
        socks = [metrics.socket() for _ in range(120)]
        for sock in socks:
            sock.sendall(request)
        for sock in socks:
            assert b"aether_daemon_running 1" in metrics_lib.read_all(sock)
            sock.close()
        # Clients that hold all places, and go at the same moment: their places are free again.
        socks = [metrics.socket() for _ in range(120)]
        lib.await_true(lambda: metrics.fds() > 120, "all have a place")
        metrics.process.send_signal(signal.SIGSTOP)
        for sock in socks[:-1]:
            sock.close()
        metrics.process.send_signal(signal.SIGCONT)
        socks[-1].sendall(request)
        assert b" 200 OK" in metrics_lib.read_all(socks[-1])
        socks[-1].close()
        # Clients that go before their answer.
        for _ in range(100):
            with metrics.socket() as sock:
                sock.sendall(request)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert metrics.get("/healthz") == "ok\n"
        lib.await_true(lambda: metrics.fds() < 25, "connections are closed")


def case_idle_connections():
    """clients that connect and send nothing keep nobody out: the oldest of them make room"""
    for _ in range(5):
        with Metrics(NOWHERE) as metrics:
            began = time.monotonic()
            socks = [metrics.socket() for _ in range(300)]
            for sock in socks[::3]:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
            assert metrics.get("/healthz") == "ok\n"
            ended = [bool(select.select([sock], [], [], 0)[0]) for sock in socks]
            if time.monotonic() - began > 8:  # some may have been closed because they were silent for 10 s
                for sock in socks:
                    sock.close()
                continue
            assert 165 <= sum(ended) <= 180 and all(ended[:165]) and not any(ended[180:]), ended
            for sock in socks[180:]:
                sock.sendall(b" localhost\r\n\r\n" if socks.index(sock) % 3 == 0 else b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert metrics_lib.read_all(sock).endswith(b"\r\n\r\nok\n")
            for sock in socks:
                sock.close()
            lib.await_true(lambda: metrics.fds() < 25, "connections are closed")
            return
    raise lib.Skip("this machine is too busy")


def case_slow_readers():
    """clients that don't read their answers hold up nobody"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        for i in range(60):
            cli(daemon, "topic", "create", f"topic/with/a/name/that/makes/the/answer/longer/{i}")
        socks = []
        for _ in range(50):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(metrics.address)
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            socks.append(sock)
        for _ in range(20):
            assert metrics.get("/healthz") == "ok\n"
            assert "aether_daemon_running 1" in metrics.get("/metrics")
        for sock in socks:
            sock.close()


# ---- what is read ----


def case_no_instance():
    """one line says what isn't there, where, and what would be right; the same to a browser and in the log"""
    gone = os.path.join(SCRATCH, "gone", "aetherd.sock")
    for path, text in ((NOWHERE, f"no aetherd at {NOWHERE}, and none has left topics there: start it with: aetherd --socket {NOWHERE}"),
                       (gone, f"there is no directory '{os.path.dirname(gone)}' for aetherd's socket '{gone}': create it and start aetherd, "
                              "or use the path of another socket")):
        with Metrics(path) as metrics:
            assert metrics.json()["error"] == text, metrics.json()["error"]
            assert metrics.request("/readyz").body.decode() == text + "\n"
            lines = [line for line in metrics.log().splitlines() if "no instance" in line]
            assert len(lines) == 1 and lines[0].endswith("no instance can be read: " + text), metrics.log()


def case_daemon_starts():
    """while aetherd starts, which has its lock and no topics yet, read-outs say that; then they show it"""
    with Daemon(start=False) as daemon:
        says = f"an aetherd runs, but doesn't listen at {daemon.path}: if it isn't starting, send it SIGHUP: "
        words = (["topic", "ls"], ["topic", "ls", "--json"], ["topic", "info", "t"], ["stats"], ["lag"], ["clients"],
                 ["top", "--batch", "1"])
        with lib.take_lock(daemon.path), Metrics(daemon.path) as metrics:
            for command in words:
                done = subprocess.run([metrics_lib.CLI, "--socket", daemon.path, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, timeout=lib.DEADLINE_S, check=False)
                assert (done.returncode, done.stdout) == (3, "") and done.stderr.startswith(f"aether-cli: {says}"), (command, done)
            assert metrics.json()["error"].startswith(says), metrics.json()["error"]
            assert metrics.request("/readyz").body.decode().startswith(says)
        with Metrics(daemon.path) as metrics:
            daemon.start()
            for command in words[:2] + words[3:6]:
                subprocess.run([metrics_lib.CLI, "--socket", daemon.path, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               timeout=lib.DEADLINE_S, check=True)
            assert metrics.samples()["aether_daemon_running"] == 1


def case_daemon_comes_and_goes():
    """without aetherd, with one, after a kill, a new start and a clean stop"""
    with Daemon(start=False) as daemon, Metrics(daemon.path) as metrics:
        found = metrics.samples()
        assert found["aether_daemon_running"] == 0 and found["aether_metrics_readable"] == 0
        assert "aether_daemon_topics" not in found and not any(name.startswith("aether_topic") for name in found)
        response = metrics.request("/readyz")
        assert response.status == 503 and response.body.count(b"\n") == 1 and len(response.body) > 10
        document = metrics.json()
        assert document["instance"] is None and document["topics"] == [] and len(document["error"]) > 10
        assert metrics.get("/healthz") == "ok\n"

        daemon.start()
        cli(daemon, "pub", "t", "hello")
        found = metrics.samples()
        assert found["aether_daemon_running"] == 1 and found["aether_metrics_readable"] == 1
        assert found["aether_daemon_topics"] == 1 and found['aether_topic_capacity_messages{topic="t"}'] == 1024
        assert metrics.get("/readyz") == "ready\n"
        assert metrics.json()["error"] is None

        daemon.kill()
        found = metrics.samples()
        assert found["aether_daemon_running"] == 0 and found["aether_metrics_readable"] == 1
        assert found['aether_topic_capacity_messages{topic="t"}'] == 1024
        assert metrics.get("/readyz") == "ready\n"

        daemon.start()
        assert metrics.samples()["aether_daemon_running"] == 1
        daemon.stop()
        assert metrics.samples()["aether_daemon_running"] == 0
        daemon.start()
        cli(daemon, "topic", "create", "u")
        found = metrics.samples()
        assert found["aether_daemon_running"] == 1 and 'aether_topic_capacity_messages{topic="u"}' in found
        assert 'aether_topic_capacity_messages{topic="t"}' not in found


def case_document():
    """/api/topics.json has the topics, one topic has its buckets, and unknown values are null"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        cli(daemon, "topic", "create", "a/b", "--type", "quote:2:5", "--capacity", "1024")
        cli(daemon, "pub", "a/b", "hello")
        cli(daemon, "topic", "create", "c")
        document = metrics.json()
        assert [topic["topic"] for topic in document["topics"]] == ["a/b", "c"]
        topic = document["topics"][0]
        assert topic["published"] == 1 and topic["type_name"] == "quote" and topic["type_version"] == 2
        assert topic["capacity"] == 1024 and topic["publishers_mode"] == "shared" and topic["slow"] == "wait"
        assert topic["publishers"] == [] and topic["subscribers"] == []
        assert topic["latency"]["p50_ns"] is None and "buckets" not in topic["latency"]
        assert topic["lost"] == 0 and set(topic["lost_by"]) == {"ring", "lane", "retained", "evicted"}
        assert document["instance"]["running"] is True and document["instance"]["socket"] == daemon.path
        assert document["instance"]["topics"] == 2 and document["topics_left_out"] == 0 and document["other"] is None
        one = metrics.json("?topic=a%2Fb")
        assert [topic["topic"] for topic in one["topics"]] == ["a/b"] and "buckets" in one["topics"][0]["latency"]
        assert metrics.json("?topic=a/b")["topics"][0]["id"] == topic["id"]
        assert metrics.json("?topic=nothing")["topics"] == []
        assert metrics.json("?topic=a/b")["time_ns"] > document["time_ns"]


def case_peers():
    """publishers and subscribers are in the document always, and have series only if they are asked for"""
    with Daemon() as daemon, Metrics(daemon.path, "--clients", "on") as named, Metrics(daemon.path) as plain:
        cli(daemon, "topic", "create", "t")
        subscriber = subprocess.Popen([metrics_lib.CLI, "sub", "t", "--policy", "reliable", "--socket", daemon.path],
                                      stdout=subprocess.DEVNULL)
        try:
            lib.await_true(lambda: [1 for topic in plain.json()["topics"] for _ in topic["subscribers"]], "it subscribes")
            peer = plain.json()["topics"][0]["subscribers"][0]
            assert peer["pid"] == subscriber.pid and peer["policy"] == "reliable" and peer["state"] == "idle"
            assert peer["lag"] == 0 and "process" in peer
            assert not any("client=" in name for name in plain.samples())
            labels = f'{{topic="t",client="{peer["client"]}",pid="{subscriber.pid}",grant="{peer["grant_id"]}"}}'
            assert named.samples()["aether_subscriber_lag_messages" + labels] == 0
            assert named.samples()["aether_metrics_left_out"] == 0
        finally:
            subscriber.kill()
            subscriber.wait()


def case_hostile_names():
    """names of any bytes: labels are UTF-8 and one line, JSON has their bytes, and no two become one"""
    names = [b"plain", b"a b", b'q"uote', b"back\\slash", b"new\nline", b"\x01\x1b[31m", b"\xff\xfe", b"\\xff\\xfe", b"<script>alert(1)</script>",
             "\u20ac/\u202e/\U0001f600".encode(), b"{}=,", b"other", b"a\tb", b"\x7f\xc2\x85", b"x" * 255, b"\xff" * 255]
    with Daemon() as daemon, Metrics(daemon.path) as metrics, lib.Client(daemon.path) as client:
        for name in names:
            assert client.create(name, capacity=8, max_message=8).type == lib.DONE, name
        for accept in ("text/plain", "application/openmetrics-text"):
            text = metrics.get("/metrics", Accept=accept)
            series = [line for line in text.split("\n") if line.startswith("aether_topic_capacity_messages{")]
            assert len(series) == len(set(series)) == len(names)
            assert all(line.isprintable() for line in text.split("\n"))
        document = metrics.request("/api/topics.json").body
        assert b"\n" not in document[:-1]
        found = [topic["topic"].encode() if "topic" in topic else base64.b64decode(topic["topic_b64"])
                 for topic in json.loads(document)["topics"]]
        assert sorted(found) == sorted(names)
        for name in names:
            topics = metrics.json("?topic=" + urllib.parse.quote(name))["topics"]
            assert len(topics) == 1, name


def case_other():
    """topics beyond the limit are one series, whose counters never go back while topics come and go"""
    with Daemon() as daemon, Metrics(daemon.path, "--topics", "3") as metrics:
        for i in range(5):
            cli(daemon, "topic", "create", f"t{i}")
        found = metrics.samples()
        shown = [name for name in found if name.startswith("aether_topic_published_messages_total")]
        assert len(shown) == 4 and 'aether_topic_published_messages_total{topic="#other"}' in shown
        assert found["aether_metrics_topics_left_out"] == 2
        assert found['aether_topic_capacity_messages{topic="#other"}'] == 2048
        document = metrics.json()
        assert len(document["topics"]) == 3 and document["topics_left_out"] == 2 and document["other"]["capacity"] == 2048

        total = 'aether_topic_published_messages_total{topic="#other"}'
        before, published = 0, 0
        for turn in range(6):
            name = f"t{turn % 5}"
            cli(daemon, "pub", name, "x", "--count", "7")
            published += 7
            now = metrics.samples()[total]
            assert before <= now <= published, f"{before} {now}"
            before = now
            if turn % 2:
                cli(daemon, "topic", "rm", name)
                assert metrics.samples()[total] == now
                cli(daemon, "topic", "create", name)
                assert metrics.samples()[total] >= now
        assert len(metrics.json("?topic=t4")["topics"]) == 1, "also a topic that isn't shown by name"


def case_memory():
    """many topics and many scrapes: the memory doesn't grow with the scrapes"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics, lib.Client(daemon.path) as client:
        with open(f"/proc/{metrics.process.pid}/maps", encoding="utf-8") as f:
            if "san.so" in f.read():
                raise lib.Skip("sanitizers keep freed memory")
        for i in range(250):
            assert client.create(f"topic/{i}", capacity=8, max_message=8).type == lib.DONE
        sizes = []
        for i in range(100):
            assert len(metrics.get("/metrics")) > 100000
            metrics.json()
            sizes.append(metrics.rss())
        assert sizes[-1] - sizes[9] <= 1 << 20, sizes


def case_interval():
    """requests within the interval get the same reading"""
    with Daemon() as daemon, Metrics(daemon.path, interval=60000) as metrics:
        first = metrics.get("/metrics")
        cli(daemon, "topic", "create", "t")
        assert metrics.get("/metrics") == first
        assert metrics.json()["topics"] == []
        assert metrics.json("?topic=t")["topics"][0]["topic"] == "t", "one topic by its name is read anew"


# ---- listening ----


def case_unix():
    """a Unix socket, its mode, a stale one, a second process, and paths that aren't its own"""
    path = os.path.join(SCRATCH, "m.sock")
    with Metrics(NOWHERE, listen="unix:" + path) as metrics:
        assert metrics.where == "unix:" + path
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert metrics.get("/healthz") == "ok\n"
        assert metrics.request("/metrics", headers={"Host": "any.example"}).status == 200
        done = metrics_lib.run("--socket", NOWHERE, "--listen", "unix:" + path)
        assert done.returncode == 3 and done.stderr.decode() == f"aether-metrics: another aether-metrics listens at unix:{path}: end it, or choose another path\n"
        assert metrics.get("/healthz") == "ok\n"
        metrics.stop(signal.SIGKILL)
        assert os.path.exists(path)
    with Metrics(NOWHERE, listen="unix:" + path) as metrics:
        assert metrics.get("/healthz") == "ok\n"
        assert metrics.stop() == 0
        assert not os.path.exists(path)
    with Daemon() as daemon:
        done = metrics_lib.run("--socket", NOWHERE, "--listen", "unix:" + daemon.path)
        assert done.returncode == 1 and b"another program" in done.stderr, done.stderr
        assert cli(daemon, "topic", "ls") is not None
    for kind in (lambda: open(path, "w", encoding="utf-8").close(), lambda: os.mkdir(path), lambda: os.symlink("/nonexistent", path)):
        kind()
        done = metrics_lib.run("--socket", NOWHERE, "--listen", "unix:" + path)
        assert done.returncode == 1 and b"isn't a socket" in done.stderr and done.stderr.count(b"\n") == 1, done.stderr
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def refuses(listen, *words, user=None):
    """The program can't listen there, and one line says why."""
    done = metrics_lib.run("--socket", NOWHERE, "--remote", "on", "--listen", listen, user=user)
    text = done.stderr.decode()
    assert done.returncode == 1 and text.count("\n") == 1 and listen.removeprefix("unix:") in text, text
    assert all(word in text for word in words), f"{listen}: {text}"


def case_unix_errors():
    """each reason why a Unix socket can't be created is named, with what would be right"""
    folder = os.path.join(SCRATCH, "errors")
    os.mkdir(folder)
    refuses(f"unix:{folder}/no/such/x", f"there is no directory '{folder}/no/such'", "create it", "RuntimeDirectory=")
    refuses("unix:/nonexist/x", "there is no directory '/nonexist'", "create it")
    refuses("unix:no/x", "there is no directory 'no'")
    open(f"{folder}/file", "w", encoding="utf-8").close()
    refuses(f"unix:{folder}/file/x", f"'{folder}/file' isn't a directory")
    os.symlink("/nonexistent", f"{folder}/link.lock")
    refuses(f"unix:{folder}/link", f"'{folder}/link.lock' is", "remove it")
    os.mkdir(f"{folder}/dir.lock")
    refuses(f"unix:{folder}/dir", f"'{folder}/dir.lock' is", "remove it")
    os.mkdir(f"{folder}/bound~")
    refuses(f"unix:{folder}/bound", f"'{folder}/bound~' is", "remove it")
    os.symlink("loop", f"{folder}/loop")
    refuses(f"unix:{folder}/loop/x", "loop")
    if os.getuid() == 0:
        os.chmod(SCRATCH, 0o755)
        refuses(f"unix:{folder}/mine", f"no permission to create files in '{folder}'", user="nobody")
        os.chmod(folder, 0o1777)
        open(f"{folder}/mine.lock", "w", encoding="utf-8").close()
        refuses(f"unix:{folder}/mine", f"'{folder}/mine.lock' is of another user", user="nobody")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(f"{folder}/stale")
        os.chmod(f"{folder}/stale", 0o777)
        refuses(f"unix:{folder}/stale", f"'{folder}/stale' is of another user", user="nobody")
        os.chmod(f"{folder}/stale", 0o700)
        os.unlink(f"{folder}/stale.lock")
        refuses(f"unix:{folder}/stale", f"'{folder}/stale' is of another user", user="nobody")
        refuses("127.0.0.1:1", "no permission", "1024", user="nobody")
    assert not {"mine", "dir", "bound"} & set(os.listdir(folder)), os.listdir(folder)


def case_ports():
    """port 0, IPv6, and two processes at one port"""
    with Metrics(NOWHERE) as metrics:
        host, port = metrics.address
        assert host == "127.0.0.1" and port > 0
        done = metrics_lib.run("--socket", NOWHERE, "--listen", f"127.0.0.1:{port}")
        text = done.stderr.decode()
        assert done.returncode == 1 and text.count("\n") == 1, text
        assert f"http://127.0.0.1:{port}/: another program listens there" in text and "ss -ltnp" in text
    refuses("192.0.2.1:0", "doesn't have the address", "loopback")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # this machine has no IPv6
    refuses("[2001:db8::1]:0", "doesn't have the address")
    refuses("[fe80::1]:0", "link")
    with Metrics(NOWHERE, listen="[::1]:0") as metrics:
        assert metrics.get("/healthz") == "ok\n"


def case_remote():
    """an address that other machines can reach must be permitted"""
    for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        done = metrics_lib.run("--listen", listen)
        text = done.stderr.decode()
        assert done.returncode == 2 and text.count("\n") == 1 and "--remote on" in text and listen in text, text
    with Metrics(NOWHERE, "--remote", "on", listen="0.0.0.0:0") as metrics:
        assert metrics.request("/healthz", headers={"Host": "192.0.2.7:80"}).status == 200
        assert metrics.request("/healthz", headers={"Host": "evil.example"}).status == 403


# ---- settings ----

BAD_FILES = [
    ("[metrics]\nlisten = localhost:9477\n", ("listen", "localhost:9477")),
    ("[metrics]\nlisten = 9477\n", ("listen", "'9477'")),
    ("[metrics]\nlisten = unix:\n", ("listen", "unix:")),
    ("[metrics]\nlisten = 0.0.0.0:9477\n", ("0.0.0.0:9477", "remote")),
    ("[metrics]\nlisten =\n", (":2:", "listen")),
    ("[metrics]\nlisten = unix:/" + "x" * 120 + "\n", (":2:", "listen")),
    ("[metrics]\nremote = yes\n", (":2:", "yes", "off or on")),
    ("[metrics]\ntopics = 0\n", (":2:", "topics", "10000")),
    ("[metrics]\ntopics = 10001\n", (":2:", "topics", "10000")),
    ("[metrics]\nclients = 1\n", (":2:", "clients")),
    ("[metrics]\ninterval = -1\n", (":2:", "interval", "60000")),
    ("[metrics]\nport = 9477\n", (":2:", "port", "listen")),
    ("[daemon]\nsocket = /x\n", ("daemon", "[metrics]")),
]
BAD_WORDS = [
    (["--listen"], "--listen"), (["--listen", ""], "listen"), (["--listen", "127.0.0.1"], "127.0.0.1"), (["--port", "1"], "--port"),
    (["--listen", "127.0.0.1:65536"], "65535"), (["--listen", "[::1"], "[::1"), (["--topics", "many"], "many"),
    (["--clients", "yes"], "off or on"), (["--remote", "yes"], "--remote"), (["--interval", "1"], "--interval"), (["start"], "start"),
    (["--listen", "127.0.0.1:80 "], "127.0.0.1:80 "), (["--config", "/nonexistent"], "/nonexistent"),
]


def case_settings():
    """bad settings end it with 2, and one line says which"""
    path = os.path.join(SCRATCH, "conf")
    for text, words in BAD_FILES:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        for more in ([], ["--print-config"]):
            done = metrics_lib.run("--config", path, *more)
            report = done.stderr.decode()
            assert done.returncode == 2 and report.count("\n") == 1 and done.stdout == b"", f"{text!r}: {report}"
            assert all(word in report for word in words), f"{text!r}: {report}"
    for words, word in BAD_WORDS:
        done = metrics_lib.run(*words)
        report = done.stderr.decode()
        assert done.returncode == 2 and report.count("\n") == 1 and word in report, f"{words}: {report}"


def case_print():
    """--print-config, --help, --version, and the sample configuration"""
    text = metrics_lib.run("--print-config").stdout.decode()
    with open(os.path.join(SOURCE, "data/aether-metrics.conf"), encoding="utf-8") as f:
        assert f.read() == text, "data/aether-metrics.conf is old: aether-metrics --print-config >data/aether-metrics.conf"
    for line in ("#listen = 127.0.0.1:9477", "#remote = off", "#topics = 200", "#clients = off", "#interval = 250"):
        assert f"\n{line}\n" in text
    set_text = metrics_lib.run("--print-config", "--listen", "unix:/a b;c", "--topics", "7", "--clients", "on").stdout.decode()
    for line in ("listen = unix:/a b;c", "topics = 7", "clients = on", "#remote = off"):
        assert f"\n{line}\n" in set_text
    path = os.path.join(SCRATCH, "conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(set_text)
    assert metrics_lib.run("--config", path, "--print-config").stdout.decode() == set_text
    usage = metrics_lib.run("--help").stdout.decode()
    assert "[--listen ADDRESS:PORT|unix:PATH]" in usage and "[--clients off|on]" in usage and "Exit codes" in usage
    assert metrics_lib.run("--version").stdout.startswith(b"aether-metrics ")


def case_unit():
    """systemd understands each line of the unit, and finds it well protected"""
    if shutil.which("systemd-analyze") is None:
        raise lib.Skip("there is no systemd-analyze")
    path = os.path.join(SCRATCH, "aether-metrics.service")
    with open(os.path.join(SOURCE, "data/aether-metrics.service"), encoding="utf-8") as f:
        text = f.read()
    assert "ExecStart=/usr/local/bin/aether-metrics " in text and "Documentation=man:aether-metrics(8)\n" in text
    with open(path, "w", encoding="utf-8") as f:  # neither program nor page is installed
        f.write(text.replace("/usr/local/bin/aether-metrics", "/bin/true").replace("Documentation=man:aether-metrics(8)\n", ""))
    for arguments in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(["systemd-analyze", *arguments, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0 and done.stderr == b"", f"{arguments}: {done.stderr} {done.stdout[-500:]}"


def case_stop():
    """SIGTERM ends it with 0, also with open connections and unanswered requests"""
    with Daemon() as daemon:
        for number in (signal.SIGTERM, signal.SIGINT):
            with Metrics(daemon.path) as metrics:
                socks = [metrics.socket() for _ in range(100)]
                for i, sock in enumerate(socks):
                    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n" * (i % 3 > 0))
                assert metrics.stop(number) == 0
                assert "stopped" in metrics.log()
                for sock in socks:
                    metrics_lib.read_all(sock)
                    sock.close()


def case_signals():
    """SIGHUP reads the settings again and SIGUSR1 opens the log file anew; neither disturbs a connection"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        conf, log = os.path.join(metrics.dir, "conf"), os.path.join(metrics.dir, "a.log")

        def await_line(*words):
            def found():
                if not os.path.exists(log):
                    return False
                with open(log, encoding="utf-8") as f:
                    return any(all(word in line for word in words) for line in f)

            lib.await_true(found, f"{words} in {log}")

        with metrics.socket() as idle:
            with open(conf, "w", encoding="utf-8") as f:
                f.write(f"[metrics]\nlog_level = debug\nlog = {log}\ntopics = 5\n")
            metrics.process.send_signal(signal.SIGHUP)
            await_line("settings read again from", conf)
            assert "[metrics] topics has another value in the file now: it needs a restart" in metrics.log()
            os.rename(log, log + ".1")
            metrics.process.send_signal(signal.SIGUSR1)
            await_line("log file opened anew")
            idle.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert metrics_lib.read_all(idle).endswith(b"ok\n")
        assert metrics.stop() == 0


def case_slow():
    """a connection that is silent, or never finishes its request, is closed"""
    for name, slow in SLOW_ONES.items():
        slow.join(120)
        assert not slow.is_alive(), f"the {name} connection is still open"
        slow.sock.close()
    assert SLOW.get("/healthz") == "ok\n"


try:
    lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
finally:
    SLOW.__exit__()
    shutil.rmtree(SCRATCH)
