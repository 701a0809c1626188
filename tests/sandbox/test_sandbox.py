"""The box: what a command can do in it, what it cannot, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.errors import SandboxError
from tinytorch.sandbox import child
from tinytorch.sandbox.files import always, without_ours
from tinytorch.sandbox.sandbox import FLOOD, MIB, Limits, Outcome, run

PYTHON = str(Path(sys.executable).resolve())
WAYS = [True, False]  # with namespaces, and without: Landlock and seccomp alone
linux = pytest.mark.skipif(sys.platform != "linux", reason="the protections of Linux")


def python(
    code: str, *, namespaces: bool = True, limits: Limits | None = None, stdin: bytes = b""
) -> Outcome:
    command = [PYTHON, "-I", "-S", "-B", "-c", code, "{scratch}", "{sent}"]
    return run(command, limits=limits, stdin=stdin, namespaces=namespaces)


def error(outcome: Outcome) -> str:
    lines = outcome.stderr.decode().strip().splitlines()
    return lines[-1] if lines else str(outcome)


def lacks(outcome: Outcome, *names: str) -> bool:
    return any(name in outcome.missing for name in names)


@pytest.mark.parametrize("namespaces", WAYS)
def test_an_ordinary_program(namespaces: bool) -> None:
    code = (
        "import os, sys, threading; t = threading.Thread(target=print, args=(sys.stdin.read(),));"
        "t.start(); t.join(); open('a', 'w').write('x'); assert os.getcwd() == sys.argv[1];"
        "os.write(int(sys.argv[2]), b'told'); print('aside', file=sys.stderr); sys.exit(3)"
    )
    outcome = python(code, namespaces=namespaces, stdin=b"given")
    assert (outcome.ending, outcome.code, str(outcome)) == ("exit", 3, "left with exit code 3"), outcome
    assert (outcome.stdout, outcome.stderr, outcome.sent) == (b"given\n", b"aside\n", b"told")


@linux
@pytest.mark.parametrize("namespaces", WAYS)
@pytest.mark.parametrize(
    ("code", "said", "needs"),
    [
        ("import os; os.fork()", "PermissionError", "seccomp"),
        ("import subprocess; subprocess.run(['/bin/sh'])", "PermissionError", "seccomp"),
        ("import os; os.posix_spawn('/bin/sh', ['sh'], {})", "PermissionError", "seccomp"),
        ("import socket; socket.socket()", "PermissionError", "seccomp"),
        ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError", "seccomp"),
        ("import os; os.kill(os.getppid(), 9)", "PermissionError", "seccomp"),
        ("import os; os.kill(-1, 9)", "PermissionError", "seccomp"),
        ("import os; os.memfd_create('x')", "PermissionError", "seccomp"),
        ("import resource as r; r.prlimit(1, r.RLIMIT_CPU, (1, 1))", "PermissionError", "seccomp"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "ValueError", ""),
        (f"open({__file__!r})", "Error", "Landlock"),
        ("open('/etc/shadow')", "Error", "Landlock"),
        ("open('/tmp/tito-was-here', 'w')", "Error", "Landlock"),
        ("import os; os.mkdir(os.path.dirname(os.getcwd()) + '/more')", "Error", "Landlock"),
        ("bytearray(10 << 30)", "MemoryError", ""),
        ("open('big', 'wb').write(bytes(100 << 20))", "OSError", ""),
        ("f = [open('/dev/null') for _ in range(1000)]", "OSError", ""),
    ],
)
def test_what_is_denied(code: str, said: str, needs: str, namespaces: bool) -> None:
    outcome = python(code, namespaces=namespaces)
    if needs in outcome.missing:
        assert outcome.missing[needs]
    else:
        assert outcome.code != 0
        assert said in error(outcome)


@linux
def test_the_scratch_folder_is_small_and_gone_afterwards() -> None:
    outcome = python("for i in range(9): open(str(i), 'wb').write(bytes(10 << 20))")
    assert "No space left" in error(outcome) or lacks(outcome, "own root folder", "namespaces")
    # A tree deeper than Python recurses, its deepest folder without rights.
    deep = (
        "import os, sys; print(sys.argv[1], flush=True)\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"
    )
    outcome = python(f"{deep}\nos.chmod('.', 0)", namespaces=False)
    assert (outcome.ending, outcome.code) == ("exit", 0), error(outcome)
    scratch = Path(outcome.stdout.decode().strip())
    assert scratch.name == "scratch"
    assert not scratch.parent.exists()


def test_the_modules_load_where_there_is_no_such_kernel() -> None:
    code = (
        "import sys, ctypes; sys.modules['resource'] = None; del ctypes.CDLL\n"
        "sys.path.insert(0, sys.argv[1])\nimport child, kernel"
    )
    done = subprocess.run(
        [PYTHON, "-c", code, str(Path(child.__file__).parent)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@linux
def test_without_seccomp_a_daemon_would_be_swept(tmp_path: Path) -> None:
    # The keeper's sweep, alone: processes in sessions of their own, whose parent is gone.
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import child as c, signal, time\n"
        "kernel = c._kernel(); kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)\n"
        "told, tell = os.pipe()\n"
        "worker = os.fork()\n"
        "if worker == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid(); os.fork(); os.write(tell, b'%d ' % os.getpid()); signal.pause()\n"
        "    os._exit(0)\n"
        "found = b''\n"
        "while len(found.split()) < 2: found += os.read(told, 100)\n"
        "child = c.Child({'limits': {}}, 1); child._sweep(worker)\n"
        "alive = [p for p in found.split() if os.path.exists('/proc/' + p.decode())]\n"
        "assert not alive, alive\n"
    )
    subprocess.run([PYTHON, "-c", code, str(Path(child.__file__).parent)], check=True, timeout=60)


@pytest.mark.parametrize("namespaces", WAYS)
def test_time_on_the_clock(namespaces: bool) -> None:
    code = "import signal, os\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nsignal.pause()"
    outcome = python(code, limits=Limits(wall=1.0), namespaces=namespaces)
    assert outcome.ending == "time"
    assert str(outcome) == "stopped after 1 s: its time was up"


def test_time_of_the_processor_even_for_the_deaf() -> None:
    code = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    outcome = python(code, limits=Limits(cpu=1.0))
    assert (outcome.ending, outcome.code) == ("signal", 9)


def test_a_flood_is_cut_off_and_stopped() -> None:
    outcome = python("while True: print('x' * 2**20)", limits=Limits(output=1000))
    assert (outcome.ending, len(outcome.stdout)) == ("output", 1000)
    assert f"{FLOOD // MIB} MiB" in str(outcome)


def test_a_crash_and_a_command_that_is_not_there() -> None:
    outcome = python("import os; os.abort()")
    assert str(outcome) == "killed by SIGABRT"
    with pytest.raises(SandboxError, match="could not be started"):
        run(["/no/such/program"])


def test_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEACHER", "42")
    outcome = python("import os; print(sorted(os.environ))")
    assert b"SECRET" not in outcome.stdout
    assert b"TMPDIR" in outcome.stdout


@linux
def test_what_is_missing_is_said() -> None:
    assert "namespaces" in python("", namespaces=False).missing
    full = python("import os; print(os.getpid(), os.getuid(), os.listdir('/'))")
    if not lacks(full, "namespaces", "own root folder"):
        assert full.stdout.startswith(b"2 ")  # the keeper is 1, and there is nobody else
        assert b"home" not in full.stdout
    if os.getuid() == 0 and not lacks(full, "namespaces", "own root folder", "another user"):
        assert full.stdout.split()[1] != b"0"


def test_no_installed_copy_of_the_package_is_shown(tmp_path: Path) -> None:
    for name in ("numpy", "tinytorch", "tinytorch_lab-0.1.0.dist-info", "deep/tinytorch", "deep/other"):
        (tmp_path / "site" / name).mkdir(parents=True)
    shown = {str(path.relative_to(tmp_path)) for path in without_ours(tmp_path / "site")}
    assert shown == {"site/numpy", "site/deep/other"}
    assert not [path for path in always() if "tinytorch" in path.name]
