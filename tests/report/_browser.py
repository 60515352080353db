"""A headless browser that loads a page from disk, driven over a pair of pipes by DevTools messages.

The page is looked at as it is: nothing is added to it, and its policy against scripts holds.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "CHROMIUM"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-pipe",
)
SECONDS = 30.0
"""For an answer, on a busy machine."""

# The browser reads commands from descriptor 3 and writes answers to 4.
_START = """
import fcntl, os, sys
# Out of the way first: the given numbers may be 3 and 4 themselves.
source, sink = (fcntl.fcntl(int(given), fcntl.F_DUPFD, 10) for given in sys.argv[1:3])
os.dup2(source, 3)
os.dup2(sink, 4)
os.closerange(5, 64)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def find():
    """The path of a browser, or None."""
    given = os.environ.get(VARIABLE)
    if given:
        return given
    return next(filter(None, map(shutil.which, NAMES)), None)


needed = pytest.mark.skipif(
    find() is None,
    reason=f"Chromium is missing: apt-get install chromium, or set {VARIABLE} to its path",
)


class Browser:
    """A browser with one page.

    Attributes:
      events: What the page and the browser said since the page was opened, oldest first.
    """

    def __init__(self, folder):
        """Starts the browser with an empty profile in a folder."""
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        command = [find(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        numbers = [str(read_commands), str(write_answers)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *numbers, *command],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self.events, self._unread, self._number, self._session = [], b"", 0, None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        """Opens the page and asks to be told of all that happens in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Sends a command and returns its result; raises what the browser refuses."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        answer = self._read(lambda found: found.get("id") == self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, path, width=1200, height=900):
        """Loads a file from disk into a window of a size; returns when all of it is there."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read(lambda found: found.get("method") == "Page.loadEventFired")
        # Messages about the page that are under way come before this answer.
        self.evaluate("new Promise(resolve => requestAnimationFrame(() => resolve(0)))")

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page, from outside of its policy."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def complaints(self):
        """Errors and warnings of the console since the page was opened, and exceptions."""
        found = []
        for event in self.events:
            parameters = event["params"]
            if event["method"] == "Log.entryAdded":
                if parameters["entry"]["level"] in ("warning", "error"):
                    found.append(parameters["entry"]["text"])
            elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                found.append(json.dumps(parameters))
        return found

    def requests(self):
        """Addresses that were asked for since the page was opened, but what the page holds."""
        addresses = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in addresses if not address.startswith("data:")]

    def screenshot(self, path, whole=True):
        """Writes a PNG file of the page."""
        shown = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shown["data"]))

    def pdf(self):
        """The page on paper."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def close(self):
        """Ends the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(SECONDS)
        except (OSError, EOFError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def _read(self, wanted):
        """The next message that is wanted; events on the way are kept."""
        end = time.monotonic() + SECONDS
        while True:
            while b"\0" in self._unread:
                text, _, self._unread = self._unread.partition(b"\0")
                message = json.loads(text)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            if not select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser has not answered for {SECONDS:g} s")
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise EOFError("the browser has ended")
            self._unread += received
