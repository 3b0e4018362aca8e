#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is written about metrics is right: each one that the alert rules, the dashboard and docs/observability.md name is
in a real scrape, promtool takes their expressions, and each alert is tested. metrics_prometheus.py runs the rules."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import Daemon  # noqa: E402
from metrics_lib import CLI, Metrics, cli  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).resolve().parent.parent))
RULES = SOURCE / "data/prometheus/aether.rules.yml"
RULES_TEST = SOURCE / "data/prometheus/tests/aether.rules.test.yml"
DASHBOARD = SOURCE / "data/grafana/aether.json"
PAGE = SOURCE / "docs/observability.md"

METRIC = re.compile(r"\baether_[a-z0-9_]+")
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*", "$topic": ".*"}


# ---- expressions -----------------------------------------------------------------------------------------------------

def rules_expressions():
    """The expressions of the rules: from "expr:" up to the next key."""
    return re.findall(r"expr:\s*(?:>-)?(.*?)(?=\n\s+(?:for|labels|annotations|- alert|- record|#)|\n\n|\Z)",
                      RULES.read_text(), re.DOTALL)


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in dashboard()["annotations"]["list"]:
        yield note["name"], note["expr"]
    for variable in dashboard()["templating"]["list"]:
        for expression in re.findall(r"label_values\((.*), \w+\)", variable.get("definition", "")):
            yield variable["name"], expression


def without_variables(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"an unknown variable: {expression}"
    return expression


def page_expressions():
    return re.findall(r"```promql\n(.*?)```", PAGE.read_text(), re.DOTALL)


def check_expressions(expressions):
    """promtool parses each of them."""
    if shutil.which("promtool") is None:
        raise lib.Skip("promtool (package prometheus) isn't installed")
    rules = [{"record": f"expression:{number}", "expr": without_variables(expression)}
             for number, expression in enumerate(expressions)]
    assert rules, "there are expressions"
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "rules.yml"
        path.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))  # which is YAML, too
        done = subprocess.run(["promtool", "check", "rules", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        assert done.returncode == 0, done.stdout.decode()


def scraped_names():
    """Names of all series of a real scrape in which latencies are known."""
    def names():
        found = set(re.findall(r"^[a-z_0-9]+", metrics.get("/metrics"), re.MULTILINE))
        return found if "aether_subscriber_received_seconds" in found else None

    with Daemon() as daemon, Metrics(daemon.path, "--clients", "on") as metrics:
        cli(daemon, "topic", "create", "t", "--latency", "all")
        running = [subprocess.Popen([CLI, *words, "--socket", daemon.path], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL)
                   for words in (["sub", "t", "--policy", "reliable"], ["pub", "t", "--size", "8", "--rate", "1000"])]
        try:
            return lib.await_true(names, "a message has been received")
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
                process.wait(lib.HANG_S)


# ---- cases -----------------------------------------------------------------------------------------------------------

def case_rules_tested():
    """each alert is tested to fire, and not to fire"""
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    text = RULES_TEST.read_text()
    assert len(alerts) >= 10, alerts
    assert alerts == set(re.findall(r"\{eval_time: \w+, alertname: (\w+)\}", text))
    assert alerts == set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels", text))


def case_dashboard():
    """the dashboard is complete JSON: panels don't overlap, have a title, a query and a data source"""
    used = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert panel["title"], panel
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24 and (x, y) not in used, f"{panel['title']} overlaps another panel"
                used.add((x, y))
    for panel in panels():
        assert panel["targets"] and panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} >= {"datasource", "instance", "topic"}


def case_dashboard_expressions():
    """promtool parses the dashboard's expressions"""
    check_expressions([expression for _, expression in dashboard_expressions()])


def case_page_expressions():
    """promtool parses the expressions in docs/observability.md"""
    check_expressions(page_expressions())


def case_names():
    """each metric in the rules, the dashboard and docs/observability.md is in a real scrape"""
    named = {name: "the rules" for expression in rules_expressions() for name in METRIC.findall(expression)}
    named.update({name: f"the dashboard's {title}" for title, expression in dashboard_expressions()
                  for name in METRIC.findall(expression)})
    named.update({name: PAGE.name for expression in page_expressions() for name in METRIC.findall(expression)})
    named.update({name: PAGE.name for name in re.findall(r"`(aether_[a-z0-9_]*[a-z0-9])`", PAGE.read_text())})
    assert len(named) > 30, named
    real = scraped_names()
    missing = [f"{name} in {where}" for name, where in sorted(named.items())
               if name not in real and name + "_count" not in real]
    assert not missing, "\n".join(missing)


lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
