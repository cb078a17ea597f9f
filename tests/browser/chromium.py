"""A real Chromium without a window, driven through its own debugging protocol over a pipe: no driver, no port."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--window-size=1280,900", "--hide-scrollbars"),
)
INSTALL = "apt-get install -y chromium"
SECONDS = 30.0  # that anything may take on a busy machine


def find() -> str | None:
    """Where Chromium is, if it is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """A browser with one page.

    Args:
        program: The browser.
        profile: A new folder for its profile.
    """

    def __init__(self, program: str, profile: Path) -> None:
        its_input, self.output = os.pipe()
        self.input, its_output = os.pipe()
        self.buffer = b""
        self.number = 0
        self.events: list[dict[str, Any]] = []
        # The protocol's pipes are descriptors 3 and 4 of the browser.
        plumbing = f'exec "$0" "$@" 3<&{its_input} 4>&{its_output}'
        self.process = subprocess.Popen(
            ["bash", "-c", plumbing, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(its_input, its_output),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(its_input)
        os.close(its_output)
        self.session = ""
        page = next(one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Ask for something and wait for the answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self.buffer:
            part = os.read(self.input, 1 << 20)
            assert part, "Chromium has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received

    def open(self, address: str) -> None:
        """Load a page until its script is done."""
        self.events.clear()
        self.send("Page.navigate", url="about:blank")  # else another #name would not load it anew
        self.wait("document.documentElement?.dataset.ready === undefined")
        self.send("Page.navigate", url=address)
        self.wait("document.documentElement?.dataset.ready !== undefined")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + SECONDS
        while not self.js(expression):
            assert time.monotonic() < end, f"never became true: {expression}"
            time.sleep(0.01)

    def key(self, key: str) -> None:
        """Press a key, as a person does."""
        codes = {"Enter": 13, "Escape": 27}
        text = {"Enter": "\r", "Escape": ""}.get(key, key)
        facts = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key.upper()[0])), "text": text}
        self.send("Input.dispatchKeyEvent", type="keyDown", **facts)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        found = json.dumps(selector)
        self.js(f"document.querySelector({found}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.js(
            f"(() => {{ const box = document.querySelector({found}).getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the size of the screen and the colours that the person prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """Save what is to be seen."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def of_kind(self, method: str) -> list[dict[str, Any]]:
        """Parameters of the events of a kind since the page was opened."""
        self.js("0")  # takes in all that came before
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, AssertionError):
            self.session = ""
            self.send("Browser.close")
        for end in (self.input, self.output):
            os.close(end)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
