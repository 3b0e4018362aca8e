#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""For the tests of web pages: a headless Chromium, driven through its DevTools protocol over a pipe."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

DEADLINE_S = 60  # an expected event that takes longer is a failure

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--mute-audio",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
]


def find():
    """The path of a Chromium, or None."""
    return next((path for path in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if path), None)


class Browser:
    """One Chromium with a profile of its own. Events of its pages are kept in `events`, as (session, method, params)."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="aether-browser-")
        self.events, self.last, self.pending = [], 0, b""
        to_browser, self.write_fd = os.pipe()
        self.read_fd, from_browser = os.pipe()
        self.log = open(os.path.join(self.profile, "log"), "wb")

        def pipes():  # the browser reads commands from fd 3 and writes to fd 4
            read_fd, write_fd = os.dup(to_browser), os.dup(from_browser)
            os.dup2(read_fd, 3)
            os.dup2(write_fd, 4)

        self.process = subprocess.Popen([find(), *FLAGS, f"--user-data-dir={self.profile}/data", "about:blank"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=pipes,
                                        close_fds=False, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except Exception:
            self.process.kill()
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def read(self, end):
        """One message."""
        while b"\0" not in self.pending:
            if not select.select([self.read_fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"the browser doesn't answer within {DEADLINE_S} s")
            data = os.read(self.read_fd, 1 << 20)
            if not data:
                with open(self.log.name, "rb") as log:
                    raise AssertionError(f"the browser has ended: {log.read()[-2000:].decode(errors='replace')}")
            self.pending += data
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data):]
        end = time.monotonic() + DEADLINE_S
        while True:
            answer = self.read(end)
            if answer.get("id") == self.last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if "method" in answer:
                self.events.append((answer.get("sessionId"), answer["method"], answer["params"]))


class Page:
    """A tab."""

    def __init__(self, browser, width=1440, height=900):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def media(self, **features):
        """For example prefers_color_scheme="dark"."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def goto(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'", f"{url} is loaded")

    def js(self, expression):
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, expression, what=None):
        """Polls an expression until it is true; returns its value."""
        end = time.monotonic() + DEADLINE_S
        while True:
            value = self.js(expression)
            if value:
                return value
            assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what or expression}"
            time.sleep(0.02)

    def key(self, key, text=None):
        """Presses a key: "a", "Enter", "ArrowDown", "Tab"."""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39}
        text = text or (key if len(key) == 1 else "\r" if key == "Enter" else None)
        more = {"text": text} if text else {}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def pointer(self, x, y, kind="mouseMoved"):
        more = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def press(self, selector):
        """Presses the button on an element. Returns where, for release().

        A reading may move the page after its place was asked for. Then the press has hit something else: the button is let go
        far from it, which is no click, and pressed again.
        """
        quoted, end = json.dumps(selector), time.monotonic() + DEADLINE_S
        while True:
            at = self.js(f"""(() => {{
                const element = document.querySelector({quoted});
                if (!element)
                    return null;
                element.scrollIntoView({{block: 'center'}});
                window.hit = false;
                window.addEventListener('mousedown', (event) => {{ window.hit = event.target.closest({quoted}) !== null; }},
                                        {{capture: true, once: true}});
                const r = element.getBoundingClientRect();
                return [r.x + r.width / 2, r.y + r.height / 2];
            }})()""")
            if at:
                for kind in ("mouseMoved", "mousePressed"):
                    self.pointer(*at, kind)
                if self.js("window.hit"):
                    return at
                self.release([0, 0])
            assert time.monotonic() < end, f"{selector} can't be pressed"

    def release(self, at):
        self.pointer(*at, "mouseReleased")

    def click(self, selector):
        """Presses and releases. If the page moved between the two, that is no click on the element: then again."""
        quoted, end = json.dumps(selector), time.monotonic() + DEADLINE_S
        self.js("window.clicked = false; true")
        while True:
            self.js(f"""window.addEventListener('click', (event) => {{
                window.clicked = event.target.closest({quoted}) !== null;
            }}, {{capture: true, once: true}})""")
            self.release(self.press(selector))
            if self.js("window.clicked !== false"):
                return
            assert time.monotonic() < end, f"{selector} can't be clicked"

    def screenshot(self, path, full=False):
        more = {}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": {**{k: size[k] for k in ("x", "y", "width", "height")}, "scale": 1}}
        data = self.call("Page.captureScreenshot", format="png", **more)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def ax(self):
        """The accessibility tree as a list of (role, name), without ignored nodes."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]

    def events(self):
        return [(method, params) for session, method, params in self.browser.events if session == self.session]

    def complaints(self):
        """What the console, the log and exceptions say, and which requests failed or left the origin."""
        found = []
        for method, params in self.events():
            if method == "Runtime.exceptionThrown":
                found.append(f"exception: {params['exceptionDetails'].get('exception', {}).get('description')}")
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(f"console: {[a.get('value', a.get('description')) for a in params['args']]}")
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
        return found

    def requests(self):
        return [params["request"]["url"] for method, params in self.events() if method == "Network.requestWillBeSent"]
