"""Debian's chromium without a window, over its DevTools pipe: what a page says, asks for and shows."""

import base64
import fcntl
import json
import os
import select
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --mute-audio "
    "--remote-debugging-pipe"
)
PATIENCE = 60.0  # seconds for an answer; a hung browser fails the test rather than hanging it


@dataclass
class Shown:
    """What a page did while it was loaded: complaints in the console, and addresses asked for."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One browser with one tab."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (in_read, out_write)]
        command = (
            f"exec {shlex.quote(CHROMIUM)} {FLAGS} --user-data-dir={shlex.quote(str(folder))} about:blank"
        )
        self._log = (folder / "browser.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", f"{command} 3<&{theirs[0]} 4>&{theirs[1]}"],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        for end in (in_read, out_write, *theirs):
            os.close(end)
        self._in, self._out = in_write, out_read
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{part}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._in)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        self._log.close()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def show(self, page: Path, width: int, height: int, dark: bool) -> Shown:
        """Load a page at a size and in a colour scheme, and say what it did."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + PATIENCE
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            assert time.monotonic() < deadline, f"{page} was not loaded"
            self._events.append(self._receive())
        self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        return _shown(self._events)

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, file: Path, whole: bool = True) -> None:
        """Save what the page looks like."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._out, 1 << 16)
            assert more, f"the browser ended: {Path(self._log.name).read_text(errors='replace')[-2000:]}"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


def _shown(events: list[dict[str, Any]]) -> Shown:
    """Errors, warnings and exceptions, and every request."""
    shown = Shown()
    for event in events:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                shown.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                shown.complaints.append(str(params["args"]))
            case "Log.entryAdded":
                shown.complaints.append(str(params["entry"]["text"]))
            case "Network.requestWillBeSent":
                shown.requests.append(params["request"]["url"])
    return shown
