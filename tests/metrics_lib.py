# SPDX-License-Identifier: Apache-2.0
"""For the tests of aether-metrics: a process of it, requests, and what they return."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import daemon_lib as lib

METRICS = os.environ.get("AETHER_METRICS", "aether-metrics")
CLI = os.environ.get("AETHER_CLI", "aether-cli")

if METRICS == "":  # by Meson
    print("1..0 # SKIP aether-metrics isn't built: no libmicrohttpd, or -Dmetrics=disabled", flush=True)
    sys.exit()


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=lib.DEADLINE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(lib.DEADLINE_S)
        self.sock.connect(self.path)


class Metrics:
    """A process of aether-metrics. interval 0: each request reads anew."""

    def __init__(self, socket_path, *options, listen="127.0.0.1:0", interval=0):
        self.dir = tempfile.mkdtemp(prefix="aether-test-")
        self.log_path = os.path.join(self.dir, "log")
        conf = os.path.join(self.dir, "conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f"[metrics]\ninterval = {interval}\n")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [METRICS, "--config", conf, "--socket", socket_path, "--listen", listen, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.where = lib.await_true(self.ready, "aether-metrics listens")

    def ready(self):
        assert self.process.poll() is None, f"aether-metrics ended with {self.process.returncode}: {self.log()}"
        found = re.search(r"listening at (\S+)\n", self.log())
        return found and found.group(1)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def address(self):
        """Host and port."""
        host, port = re.fullmatch(r"http://\[?([^\]]*?)\]?:(\d+)/", self.where).groups()
        return host, int(port)

    def connection(self):
        if self.where.startswith("unix:"):
            return UnixConnection(self.where[5:])
        return http.client.HTTPConnection(*self.address, timeout=lib.DEADLINE_S)

    def request(self, path, method="GET", headers=None):
        """The response, with its body in `body`."""
        connection = self.connection()
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            response.body = response.read()
            return response
        finally:
            connection.close()

    def get(self, path, **headers):
        """The body as text; it must be there."""
        response = self.request(path, headers=headers)
        assert response.status == 200, f"{path}: {response.status} {response.body}"
        return response.body.decode()

    def samples(self):
        return samples(self.get("/metrics"))

    def json(self, query=""):
        return json.loads(self.get("/api/topics.json" + query))

    def socket(self):
        """A connection as a socket, for requests that no client would make."""
        if self.where.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(lib.DEADLINE_S)
            sock.connect(self.where[5:])
            return sock
        return socket.create_connection(self.address, timeout=lib.DEADLINE_S)

    def raw(self, data):
        """What comes back for these bytes, until the end of the stream."""
        with self.socket() as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has been closed meanwhile, perhaps with a response
            return read_all(sock)

    def rss(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) * 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(lib.HANG_S)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.dir)


def read_all(sock):
    """All until the end of the stream."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def samples(text):
    """{"name{labels}": value} of both text formats."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"{name} is there twice"
            found[name] = float(value)
    return found


def cli(daemon, *arguments, data=None):
    """Runs aether-cli, which must succeed. Returns its output."""
    done = subprocess.run([CLI, *arguments, "--socket", daemon.path], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=lib.HANG_S, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def run(*arguments, env=None, user=None):
    """Runs aether-metrics with a command line that ends it."""
    return subprocess.run([METRICS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=lib.HANG_S, env=env, user=user, check=False)
