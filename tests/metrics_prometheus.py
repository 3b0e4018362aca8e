#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aether-metrics with the real Prometheus: both formats are valid, a scrape has the figures, and the shipped alert rules
fire for what they are about and for nothing else."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import Daemon  # noqa: E402
import metrics_lib  # noqa: E402
from metrics_lib import CLI, Metrics, cli  # noqa: E402

SOURCE = os.environ.get("SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
RULES = os.path.join(SOURCE, "data/prometheus/aether.rules.yml")
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
ALERT_S = 150  # the longest `for:` of a rule that a case waits for is 30 s

# The parser of Debian's package is for Debian's Python.
PARSE = """
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, family.name
    print(family.name, family.type, family.unit or "-", len(family.samples))
"""


def parse(text):
    """{family: (type, unit, number of samples)} by the reference parser."""
    done = subprocess.run(["/usr/bin/python3", "-c", PARSE], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    if b"No module named 'prometheus_client'" in done.stderr:
        raise lib.Skip("python3-prometheus-client isn't installed")
    assert done.returncode == 0, done.stderr.decode()
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return {name: (kind, unit, int(count)) for name, kind, unit, count in lines}


def promtool(*arguments, data=None):
    if shutil.which("promtool") is None:
        raise lib.Skip("Prometheus isn't installed")
    return subprocess.run(["promtool", *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


class Traffic:
    """Two topics with messages, losses and latencies; a publisher that is alone on a third."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.running = []
        cli(daemon, "topic", "create", "t")
        self.start("sub", "t", "--policy", "reliable", "--count", "3000")
        self.start("sub", "t", "--policy", "best-effort")
        lib.await_true(lambda: sum(self.joined().values()) == 2, "subscribers have joined")
        cli(daemon, "pub", "t", "--count", "3000", "--size", "100")
        cli(daemon, "pub", 'a "quoted"\\topic', "x")
        self.running[0].wait(lib.HANG_S)

    def joined(self):
        return json.loads(cli(self.daemon, "topic", "info", "t", "--json"))["subscribers_by"]

    def start(self, *arguments):
        process = subprocess.Popen([CLI, *arguments, "--socket", self.daemon.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for process in self.running:
            process.kill()
            process.communicate()


class Prometheus:
    """A Prometheus that scrapes aether-metrics each second."""

    def __init__(self, metrics, rules=None):
        if shutil.which("prometheus") is None:
            raise lib.Skip("Prometheus isn't installed")
        self.dir = tempfile.mkdtemp(prefix="aether-test-")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules] if rules else [],
            "scrape_configs": [{"job_name": "aether", "static_configs": [{"targets": ["%s:%d" % metrics.address]}]}],
        }
        path = os.path.join(self.dir, "config.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)  # which is YAML, too
        with socket.create_server(("127.0.0.1", 0)) as free:  # Prometheus takes no port 0
            self.url = "http://127.0.0.1:%d" % free.getsockname()[1]
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.dir}/data",
                 f"--web.listen-address={self.url[7:]}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        lib.await_true(lambda: self.query('up{job="aether"} == 1'), "Prometheus has scraped")

    def api(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=lib.DEADLINE_S) as response:
                return json.load(response)["data"]
        except (OSError, ValueError):
            with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
                assert self.process.poll() is None, f.read()
            return None

    def query(self, expression):
        """[(labels, value), ...]"""
        data = self.api("/api/v1/query?query=" + urllib.parse.quote(expression))
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]] if data else []

    def firing(self):
        data = self.api("/api/v1/alerts")
        return {alert["labels"]["alertname"] for alert in data["alerts"] if alert["state"] == "firing"} if data else set()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir)


# ---- formats ----


def case_promtool():
    """promtool has nothing to say about the text format"""
    with Daemon(start=False) as daemon, Metrics(daemon.path, "--clients", "on", "--topics", "1") as metrics:
        for _ in range(2):
            done = promtool("check", "metrics", data=metrics.get("/metrics").encode())
            assert done.returncode == 0 and done.stdout == b"", done.stdout.decode()
            if daemon.process is None:
                daemon.start()
                traffic = Traffic(daemon)
        traffic.__exit__()


def case_openmetrics():
    """the reference parser takes the OpenMetrics, and finds units, counters and histograms"""
    with Daemon() as daemon, Metrics(daemon.path, "--clients", "on", "--topics", "1") as metrics, Traffic(daemon):
        families = parse(metrics.get("/metrics", Accept=OPENMETRICS))
        assert families["aether_topic_published_messages"] == ("counter", "messages", 2)
        assert families["aether_topic_latency_seconds"][:2] == ("histogram", "seconds")
        assert families["aether_topic_stall_seconds"][:2] == ("counter", "seconds")
        assert families["aether_topic_memory_bytes"][:2] == ("gauge", "bytes")
        assert families["aether_topic_lost_messages"][2] == 8
        assert families["aether_subscriber_lag_messages"][0] == "gauge"
        assert families["aether_build"][0] == "info"
        assert all(name.endswith("_" + unit) for name, (_, unit, _) in families.items() if unit != "-")
        assert not any(kind == "unknown" for kind, _, _ in families.values())


def case_nothing():
    """the OpenMetrics without an instance are valid, too"""
    with Metrics("/nonexistent/d.sock") as metrics:
        assert parse(metrics.get("/metrics", Accept=OPENMETRICS))["aether_daemon_running"] == ("gauge", "-", 1)


# ---- a scrape ----


def case_scrape():
    """Prometheus has the figures; accounts add up in PromQL; quantiles can be computed over topics"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics, Traffic(daemon), Prometheus(metrics) as prometheus:
        targets = prometheus.api("/api/v1/targets")["activeTargets"]
        assert targets[0]["lastError"] == "", targets
        topic = '{topic="t"}'
        lib.await_true(lambda: [v for _, v in prometheus.query("aether_topic_published_messages_total" + topic)] == [3000], "the count")
        assert [v for _, v in prometheus.query("aether_topic_published_bytes_total" + topic)] == [300000]
        assert prometheus.query('aether_topic_published_messages_total{topic="a \\"quoted\\"\\\\\\\\topic"}'), "a hostile name"
        account = prometheus.query("aether_topic_delivered_messages_total + sum without (reason) (aether_topic_lost_messages_total)"
                                   " + aether_topic_aborted_messages_total + aether_topic_skipped_messages_total"
                                   " - aether_topic_accounted_messages_total")
        assert len(account) == 2 and all(value == 0 for _, value in account), account
        delivered = prometheus.query("aether_topic_delivered_messages_total" + topic)[0][1]
        assert 3000 <= delivered <= 6000
        count = prometheus.query("aether_topic_latency_seconds_count" + topic)[0][1]
        assert count > 0 and prometheus.query("aether_topic_latency_samples_total" + topic)[0][1] > 0
        buckets = prometheus.query("aether_topic_latency_seconds_bucket" + topic)
        limits = sorted(float(labels["le"]) for labels, _ in buckets)
        assert limits[:-1] == [2 ** power / 1e9 for power in range(6, 37)] and limits[-1] == float("inf")
        assert max(value for _, value in buckets) == count
        assert 0 < prometheus.query("histogram_quantile(0.99, sum by (le) (aether_topic_latency_seconds_bucket))")[0][1] < 69
        assert prometheus.query("aether_build_info") and prometheus.query("aether_daemon_running == 1")
        assert not prometheus.query("{__name__=~'aether_.*', topic=''} unless {__name__=~'aether_(daemon|metrics|build)_.*'}")


# ---- alerts ----


def case_rules():
    """the rules are valid and pass their own tests"""
    if not os.path.exists(RULES):
        raise lib.Skip("there are no rules")
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout.decode()
    folder = os.path.join(os.path.dirname(RULES), "tests")
    for name in os.listdir(folder):
        done = promtool("test", "rules", os.path.join(folder, name))
        assert done.returncode == 0, done.stdout.decode()


def case_alerts():
    """a stopped subscriber and a killed daemon fire exactly the alerts that are about them, which end afterwards"""
    if not os.path.exists(RULES):
        raise lib.Skip("there are no rules")
    with Daemon() as daemon, Metrics(daemon.path) as metrics, Traffic(daemon) as traffic, Prometheus(metrics, RULES) as prometheus:
        cli(daemon, "topic", "create", "held")
        subscriber = traffic.start("sub", "held", "--policy", "reliable")
        lib.await_true(lambda: json.loads(cli(daemon, "topic", "info", "held", "--json"))["subscribers_by"]["reliable"] == 1, "it has joined")
        assert prometheus.firing() == set()

        subscriber.send_signal(signal.SIGSTOP)
        traffic.start("pub", "held", "x", "--count", "100000000")
        expect(prometheus, {"AetherSubscriberStuck", "AetherPublisherWaiting", "AetherMessagesOld"})
        subscriber.kill()
        expect(prometheus, set())

        daemon.kill()
        expect(prometheus, {"AetherDaemonNotRunning"})
        daemon.start()
        expect(prometheus, set())


def expect(prometheus, alerts):
    """Waits until these alerts fire, and no other."""
    usual, lib.DEADLINE_S = lib.DEADLINE_S, ALERT_S
    try:
        lib.await_true(lambda: prometheus.firing() == alerts, f"{sorted(alerts)} fire")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {sorted(prometheus.firing())}") from None
    finally:
        lib.DEADLINE_S = usual


lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
