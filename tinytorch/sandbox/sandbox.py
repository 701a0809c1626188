"""Runs a command that is not trusted: in a box, with limits, and with nothing of it left afterwards.

On Linux the command sees a root folder of its own (what it may read, not writable, and one small scratch
folder in memory), processes, network and IPC of its own; Landlock and seccomp stand behind that. Each
protection is tried anew at each run, and what this machine lacks is named in `Outcome.missing`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from tinytorch.errors import SandboxError
from tinytorch.sandbox.files import always, beside, python_path, top_links

MIB = 2**20
FLOOD = 64 * MIB  # bytes of output after which a command is stopped
GRACE = 5.0  # seconds beyond its wall time after which the box itself is ended
_FIRST_UID, _UIDS = 61_200, 3_900  # of users that exist on no system: systemd's range for passing services

_boxes = itertools.count()  # no two boxes of a process at the same time are of the same user

Ending = Literal["exit", "signal", "time", "output", "box"]


@dataclass(frozen=True)
class Limits:
    """What a command may use: seconds, bytes, and numbers of things."""

    wall: float = 60.0
    cpu: float = 60.0
    memory: int = 4096 * MIB  # of address space, shared libraries included
    file: int = 16 * MIB  # of one file
    disk: int = 64 * MIB  # of all files in the scratch folder
    entries: int = 2_000  # files and folders in it
    open_files: int = 256
    threads: int = 64
    output: int = MIB  # kept of each of the two streams; the rest is thrown away


@dataclass
class Outcome:
    """How a command ended, what it wrote, and the protections that this machine lacks, with the reasons."""

    ending: Ending
    code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    sent: bytes = b""
    seconds: float = 0.0
    missing: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The end in words.

        >>> str(Outcome("signal", 9)), str(Outcome("exit", 3))
        ('killed by SIGKILL', 'left with exit code 3')
        """
        if self.ending == "signal":
            return f"killed by {signal.Signals(self.code).name}"
        if self.ending == "exit":
            return f"left with exit code {self.code}"
        return {
            "time": f"stopped after {self.seconds:.0f} s: its time was up",
            "output": f"stopped: it wrote more than {FLOOD // MIB} MiB to the console",
            "box": "the box was broken off",
        }[self.ending]


def run(
    command: Sequence[str],
    *,
    read: Sequence[Path] = (),
    limits: Limits | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    namespaces: bool = True,
    most_sent: int = MIB,
) -> Outcome:
    """Run a command in a box and return how it ended.

    command: the program's path and its arguments; `{scratch}` in them is the scratch folder, also the
    working folder, and `{sent}` the number of a file descriptor whose bytes come back as `Outcome.sent`.
    read: files and folders that it may read, beside this Python and the system's libraries. namespaces:
    False leaves out root folder and processes of its own (to try how the other protections do without).
    most_sent: bytes that may be sent; the rest is cut off. Raises SandboxError where no box can be made.
    """
    if os.name != "posix":
        raise SandboxError("code that is not trusted can be run on Linux and macOS only; on Windows, use WSL")
    limits = limits or Limits()
    with _scratch() as base:
        scratch = base / "scratch"
        task = {
            "root": str(base / "root"),
            "scratch": str(scratch),
            "read": [*map(str, always()), *map(str, beside(read))],
            "listed": python_path(),
            "links": top_links(),
            "limits": asdict(limits),
            "namespaces": namespaces,
            "uid": _FIRST_UID + (os.getpid() + next(_boxes)) % _UIDS if os.getuid() == 0 else None,
            "environment": {**_plain_environment(scratch), **(environment or {})},
        }
        return _Run(list(command), task, limits, stdin, most_sent).outcome()


class _Run:
    """One command in its box, seen from outside."""

    def __init__(
        self, command: list[str], task: dict[str, object], limits: Limits, stdin: bytes, most_sent: int
    ) -> None:
        self.limits = limits
        self.most = {"stdout": limits.output, "stderr": limits.output, "sent": most_sent, "line": MIB}
        self.kept = {name: bytearray() for name in self.most}
        self.seen = 0
        self.stdin = stdin
        self.ending: Ending | None = None
        task_end, task_line = os.pipe()
        self.line, line = os.pipe()
        self.sent, sent = os.pipe()
        names = {"scratch": str(task["scratch"]), "sent": str(sent)}
        task["command"] = [_filled(part, names) for part in command]
        launcher = [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("child.py"))]
        self.process = subprocess.Popen(
            [*launcher, str(task_end), str(line)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(task_end, line, sent),
            start_new_session=True,
            cwd="/",
            env={},
        )
        for end in (task_end, line, sent):
            os.close(end)
        with os.fdopen(task_line, "wb") as stream:
            stream.write(json.dumps(task).encode())

    def outcome(self) -> Outcome:
        """Read what it says until the box has closed, then tell how it went."""
        begun = time.monotonic()
        try:
            self._follow(begun + self.limits.wall + GRACE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        said: dict[str, Any] = {}
        for message in bytes(self.kept["line"]).splitlines():
            said |= json.loads(message)
        if "failed" in said:
            raise SandboxError(f"the command could not be started in its box: {said['failed']}")
        if "missing" not in said:
            complaint = self.kept["stderr"].decode(errors="replace").strip()
            raise SandboxError(f"no box could be made: {complaint}")
        ending, code = self._ending(said)
        lasted = float(said.get("seconds", time.monotonic() - begun))
        stdout, stderr, sent = (bytes(self.kept[name]) for name in ("stdout", "stderr", "sent"))
        return Outcome(ending, code, stdout, stderr, sent, lasted, said["missing"])

    def _ending(self, said: Mapping[str, Any]) -> tuple[Ending, int]:
        if self.ending is not None:
            return self.ending, 0
        if "status" not in said:
            return "box", 0
        if said["status"] is None:
            return "time", 0
        code = os.waitstatus_to_exitcode(said["status"])
        if code == -signal.SIGXCPU:
            return "time", 0
        return ("signal", -code) if code < 0 else ("exit", code)

    def _follow(self, until: float) -> None:
        """Feed standard input and gather the streams until the box closes, time is up or it floods us."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            streams: dict[str, IO[bytes]] = {
                "stdout": stack.enter_context(process.stdout),
                "stderr": stack.enter_context(process.stderr),
                "line": stack.enter_context(os.fdopen(self.line, "rb")),
                "sent": stack.enter_context(os.fdopen(self.sent, "rb")),
            }
            for name, stream in streams.items():
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, name)
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
            closed = False
            while not closed and (left := until - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.data == "stdin":
                        self._feed(selector)
                    elif self._gather(key.data, key.fd) == 0:
                        selector.unregister(key.fileobj)
                        closed |= key.data == "line"
                if self.seen > FLOOD:
                    self.ending = "output"
                    return
            for name in ("stdout", "stderr", "sent"):
                while self.seen <= FLOOD and self._gather(name, streams[name].fileno()):
                    pass

    def _feed(self, selector: selectors.BaseSelector) -> None:
        """Write what standard input takes; close it after the last of it."""
        stream = self.process.stdin
        assert stream is not None
        try:
            self.stdin = self.stdin[os.write(stream.fileno(), self.stdin) :] if self.stdin else b""
        except BrokenPipeError:
            self.stdin = b""
        if not self.stdin:
            selector.unregister(stream)
            stream.close()

    def _gather(self, name: str, number: int) -> int:
        """Take what lies in a pipe; returns how much that was."""
        try:
            piece = os.read(number, 65536)
        except BlockingIOError:
            return 0
        kept = self.kept[name]
        kept += piece[: max(0, self.most[name] - len(kept))]
        self.seen += len(piece)
        return len(piece)


# ---------------------------------------------------------------- small things


def _filled(part: str, names: Mapping[str, str]) -> str:
    for name, text in names.items():
        part = part.replace(f"{{{name}}}", text)
    return part


def _plain_environment(scratch: Path) -> dict[str, str]:
    folder = str(scratch)
    caches = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), folder)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MPLBACKEND": "Agg", **caches, **threads}


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder with `root` and `scratch` in it, removed afterwards whatever has become of it."""
    base = Path(tempfile.mkdtemp(prefix="tito-box-"))
    try:
        base.chmod(0o711)
        (base / "root").mkdir()
        (base / "scratch").mkdir(mode=0o700)
        yield base.resolve()
    finally:
        # A tree too deep for shutil.rmtree, or one without rights, is nothing to these.
        if os.getuid() != 0:
            subprocess.run(["chmod", "-R", "u+rwx", str(base)], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", str(base)], check=True)
