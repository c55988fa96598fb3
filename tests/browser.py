"""A headless Chromium, driven over its own pipe by the DevTools protocol: a page as a browser lays it out.

The two pipes are file descriptors 3 and 4 of the browser, messages are JSON that ends with a zero byte
(chromium, content/browser/devtools/devtools_pipe_handler.cc). No port is opened, and no driver is needed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Page:
    """A tab. What it logs and loads is kept from the moment it was opened."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._read = b""
        self._last = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a method of the protocol, and return its result."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Load a file and wait until it is laid out, in a window of this width (under 500: a phone)."""
        mobile = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, seen from outside the page: its policy on scripts does not matter."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        """What the console says: errors, warnings, refusals of the page's own policy."""
        logged = (one["params"] for one in self.events if one.get("method") == "Log.entryAdded")
        said = [str(one["entry"]["text"]) for one in logged]
        return said + [str(one) for one in self.events if one.get("method") == "Runtime.consoleAPICalled"]

    def requests(self) -> list[str]:
        """Every URL that the page asked for, itself among them; inline data is no request."""
        sent = (one["params"] for one in self.events if one.get("method") == "Network.requestWillBeSent")
        urls = [str(one["request"]["url"]) for one in sent]
        return [url for url in urls if not url.startswith("data:")]

    def picture(self, *, whole: bool = True) -> bytes:
        """A PNG of the page, or of what the window shows of it."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])


@contextmanager
def browsing(profile: Path) -> Iterator[Page]:
    """A browser with a new profile in this directory, ended at the end."""
    assert shutil.which(PROGRAM), f"{PROGRAM} is not installed (hint: scripts/bootstrap tests)"
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    arguments = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}"]
    # The shell puts the two ends where the browser looks for them, and becomes the browser.
    places = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
    with subprocess.Popen(
        ["/bin/bash", "-c", places, *arguments],
        pass_fds=(their_in, their_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        os.close(their_in)
        os.close(their_out)
        try:
            yield Page(our_out, our_in)
        finally:
            os.close(our_out)  # the browser ends when its pipe does
            os.close(our_in)
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
