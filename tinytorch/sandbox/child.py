"""The program that confines itself as it is told and then becomes the command; `sandbox.run` starts it.

Three processes: the launcher enters the namespaces; the keeper is process 1 in them, watches the clock,
and when it goes the kernel ends all others; the worker gives up its rights one by one and executes the
command. What cannot be had here is reported, never passed over.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

LINUX = sys.platform == "linux"


def _kernel() -> Any:
    """The module beside this one, loaded by its path: the package itself must not be imported here."""
    spec = importlib.util.spec_from_file_location("sandbox_kernel", Path(__file__).with_name("kernel.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Child:
    """What all three processes share: the task, what is missing here, and the line to the parent."""

    def __init__(self, task: dict[str, Any], line: int) -> None:
        self.task = task
        self.limits = task["limits"]
        self.line = line
        self.missing: dict[str, str] = {}
        self.kernel = _kernel() if LINUX else None
        self.own_processes = self.own_files = self.user_namespace = False

    def attempt(self, name: str, step: str, *arguments: Any) -> Any:
        """Do one step of `kernel`; where it cannot be done, note why and return None."""
        if self.kernel is None:
            self.missing.setdefault(name, f"not on {sys.platform}")
            return None
        try:
            return getattr(self.kernel, step)(*arguments)
        except OSError as error:
            self.missing.setdefault(name, str(error))
            return None

    def tell(self, **message: Any) -> None:
        """Send the parent one line."""
        os.write(self.line, (json.dumps(message) + "\n").encode())

    # ---------------------------------------------------------------- launcher

    def launch(self) -> None:
        """Enter the namespaces, start the keeper in them and wait for it."""
        if self.kernel is not None:
            self.kernel.prctl(self.kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        user = self.attempt("namespaces", "enter_namespaces") if self.task["namespaces"] else None
        if not self.task["namespaces"]:
            self.missing["namespaces"] = "switched off"
        self.own_processes, self.user_namespace = user is not None, bool(user)
        keeper = os.fork()
        if keeper == 0:
            self.keep()
            os._exit(0)
        os.waitpid(keeper, 0)

    # ---------------------------------------------------------------- keeper

    def keep(self) -> None:
        """Build the root folder, start the worker, end it when its time is up, leave nothing behind."""
        begun = time.monotonic()
        if self.kernel is not None:
            self.kernel.prctl(self.kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            self.kernel.prctl(self.kernel.PR_SET_CHILD_SUBREAPER, 1)
            self.kernel.prctl(self.kernel.PR_SET_DUMPABLE, 0)
        if self.own_processes:
            scratch, limits = self.task["scratch"], self.limits
            owner = os.getuid() if self.user_namespace else self.task["uid"] or os.getuid()
            places = self.task["root"], self.task["read"], self.task["links"], scratch
            self.attempt("own root folder", "build_root", *places, limits["disk"], limits["entries"], owner)
            self.own_files = "own root folder" not in self.missing
        told, tell = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(told)
            self.work(tell)
        os.close(tell)
        with os.fdopen(told, "rb") as stream:
            for message in stream:
                self.tell(**json.loads(message))
        status = self._wait(worker, begun + self.limits["wall"])
        seconds = time.monotonic() - begun
        self._sweep(worker)
        self.tell(ended=True, status=status, seconds=seconds)

    def _wait(self, worker: int, until: float) -> int | None:
        """The status with which the worker ended; None where its time was up. Reaps all others."""
        pause = 0.001
        while (left := until - time.monotonic()) > 0:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == worker:
                return status
            if pid == 0:
                select.select([], [], [], min(pause, left))
                pause = min(pause * 2, 0.02)
        return None

    def _sweep(self, worker: int) -> None:
        """Kill all descendants, those in sessions of their own too: orphans become our children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1 if self.own_processes else -worker, signal.SIGKILL)
        while True:
            for pid in _children(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    # ---------------------------------------------------------------- worker

    def work(self, tell: int) -> None:
        """Give up all rights, then become the command; what went wrong before that goes to the keeper."""
        try:
            self._confine()
            os.write(tell, (json.dumps({"missing": self.missing}) + "\n").encode())
            os.execve(self.task["command"][0], self.task["command"], self.task["environment"])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
            os.write(tell, (json.dumps({"failed": f"{type(error).__name__}: {error}"}) + "\n").encode())
        finally:
            os._exit(127)

    def _confine(self) -> None:
        import resource  # here, for Windows has none

        os.setsid()
        os.chdir(self.task["scratch"])
        os.umask(0o077)
        limits = self.limits
        if not self.own_files:
            self.missing["limit of the disk"] = "needs a root folder of its own"
        bounds = {
            "RLIMIT_AS": limits["memory"], "RLIMIT_FSIZE": limits["file"],
            "RLIMIT_NOFILE": limits["open_files"], "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 1 << 20, "RLIMIT_MSGQUEUE": 0,
        }  # fmt: skip
        uid = None if self.user_namespace else self._other_user()
        if uid is not None or self.user_namespace:
            bounds["RLIMIT_NPROC"] = limits["threads"]
        for name, bound in bounds.items():
            if (number := getattr(resource, name, None)) is not None:
                _bound(number, bound)
        seconds = max(1, round(limits["cpu"]))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, then SIGKILL
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        if self.kernel is None:
            for name in ("own root folder", "Landlock", "seccomp"):
                self.missing[name] = f"not on {sys.platform}"
            return
        kernel = self.kernel
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if uid is None and (os.getuid() == 0 or self.user_namespace):
            self.attempt("fewer capabilities", "drop_capabilities")
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        read = ["/"] if self.own_files else [*self.task["read"], "/dev", "/proc"]
        self.attempt("Landlock", "landlock", read, self.task["listed"], [self.task["scratch"], "/dev/null"])
        self.attempt("seccomp", "seccomp")

    def _other_user(self) -> int | None:
        """The user to become where we are root, if that one can still reach the command."""
        uid = self.task["uid"]
        if uid is None:
            return None
        if not self.own_files:
            shut = [
                path for path in (self.task["command"][0], self.task["scratch"]) if not _open_to_all(path)
            ]
            if shut:
                self.missing["another user"] = f"{shut[0]} is not open to other users"
                return None
            os.chown(self.task["scratch"], uid, uid)
        return int(uid)


def _bound(number: int, bound: int) -> None:
    """Set a limit, below the one that holds already."""
    import resource

    hard = resource.getrlimit(number)[1]
    bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(number, (bound, bound))


def _open_to_all(path: str) -> bool:
    """Whether other users may pass through all folders on the way to a path."""
    return all(folder.stat().st_mode & 1 for folder in Path(path).parents)


def _children(pid: int) -> list[int]:
    """The processes whose parent is `pid`, where the system lists them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if int(after_name[1]) == pid:
            found.append(int(path.parent.name))
    return found


def main() -> None:
    """Read the task from the first file descriptor named, and report on the second."""
    task_line, line = map(int, sys.argv[1:])
    os.set_inheritable(line, False)
    with os.fdopen(task_line, "rb") as stream:
        task = json.loads(stream.read())
    Child(task, line).launch()


if __name__ == "__main__":
    main()
