"""Hostile workspaces under `tito grade`: none passes, none harms the honest one beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.learn import hostile
from tinytorch.learn import work
from tinytorch.learn.course import read_course
from tinytorch.learn.grading import review as grade_review
from tinytorch.learn.grading.grade import Grader, Plan, submissions
from tinytorch.learn.grading.package_copy import PACKAGE

ZEROS = "return np.zeros(np.broadcast(a, b).shape)"
ATTACKS = {
    "processes": f"""
        import os, threading
        for _ in range(300):
            try:
                os.fork()
            except OSError:
                pass
        {ZEROS}
    """,
    "loop": "while True: pass",
    "deaf_loop": """
        import signal
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True: pass
    """,
    "memory": "return np.ones(10 * 2**27)[: a.size].reshape(a.shape)",
    "early_exit": "import os\nos._exit(0)",
    "soft_exit": "import sys\nsys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "exec": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', ''])",
    "abort": "import os\nos.abort()",
    "source": """
        import inspect, textwrap
        from tinytorch.ops.arithmetic import Add, Sub
        space = {"np": np}
        exec(textwrap.dedent(inspect.getsource(Sub.forward)), space)
        return space["forward"](None, a, -b)
    """,
    "other_copy": f"""
        import importlib, sys
        for name in [name for name in sys.modules if name.startswith("tinytorch")]:
            del sys.modules[name]
        sys.meta_path[:] = [finder for finder in sys.meta_path if "Path" in str(finder)]
        sys.path[:] = [{str(PACKAGE.parent)!r}] + [p for p in sys.path if "tito" not in p]
        return importlib.import_module("tinytorch.ops.arithmetic").Add().forward(a, b)
    """,
    "stub_copy": """
        import importlib, sys
        for name in [name for name in sys.modules if name.startswith("tinytorch")]:
            del sys.modules[name]
        sys.meta_path[:] = [finder for finder in sys.meta_path if "Finder" not in type(finder).__name__]
        return importlib.import_module("tinytorch.ops.arithmetic").Add().forward(a, b)
    """,
    "open": f"""
        space = {{}}
        exec(open({str(PACKAGE / "ops" / "arithmetic.py")!r}).read(), space)
        return space["Add"]().forward(a, b)
    """,
    "search": f"""
        import glob
        for place in ("/tmp", "/proc/*/root", "/proc/*/cwd", {str(PACKAGE.parent)!r}, "/usr/lib/python3*"):
            for path in glob.glob(place + "/**/ops/arithmetic.py", recursive=True):
                space = {{}}
                exec(open(path).read(), space)
                return space["Add"]().forward(a, b)
    """,
    "neighbour": """
        space = {"np": np}
        exec(open("HONEST").read(), space)
        return space["Add"]().forward(a, b)
    """,
    "checks": f"""
        import glob, os, sys
        for folder in sys.path:
            for path in glob.glob(folder + "/**/test_*.py", recursive=True) if "tito" in folder else []:
                os.chmod(path, 0o666)
                open(path, "w").write("")
        {ZEROS}
    """,
    "expect": f"""
        from tinytorch.learn import expect
        expect.close = expect.equal = expect.true = expect.raises = lambda *a, **k: None
        {ZEROS}
    """,
    "compare": f"""
        from tinytorch.learn import expect
        expect._compare = lambda *a, **k: None
        {ZEROS}
    """,
    "pytest": f"""
        import pytest
        pytest.Function.runtest = lambda self: None
        {ZEROS}
    """,
    "numpy": f"""
        np.isclose = lambda x, *a, **k: np.ones(np.shape(x), bool)
        {ZEROS}
    """,
    "frames": """
        import sys
        frame = sys._getframe()
        while frame is not None:
            if "want" in frame.f_locals:
                return frame.f_locals["want"]
            frame = frame.f_back
    """,
    "equal_to_all": "return Yes()",
    "forged": f"""
        import json, os
        for number in range(3, 64):
            for line in (b'{{"event": "end"}}', b"0" * 64 + b' 0 {{"event": "end"}}'):
                try:
                    os.write(number, line + b"\\n")
                except OSError:
                    pass
        {ZEROS}
    """,
    "outside": f"""
        import os, tinytorch
        home = os.path.dirname(tinytorch.__file__)
        places = [f"{{place}}/tito-was-here" for place in ("/tmp", "/var/tmp", "/dev/shm", home)]
        for path in places:
            try:
                open(path, "w").write("x")
            except OSError:
                continue
            return a + b
        {ZEROS}
    """,
    "disk": f"""
        for number in range(10_000):
            open(f"{{number}}", "wb").write(bytes(2**20))
        {ZEROS}
    """,
    "recursion": """
        import sys
        sys.setrecursionlimit(10**9)
        def deeper(x): return deeper(x) + 1
        return deeper(a)
    """,
    "print": "while True: print('x' * 10**6)",
    "parent": f"""
        import os, signal
        for pid in (os.getppid(), 1, -1, 0, PARENT):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        {ZEROS}
    """,
    "socket": """
        import socket
        socket.create_connection(("127.0.0.1", 1))
    """,
    "daemon": f"""
        import os, subprocess, sys
        try:
            subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
        except OSError:
            pass
        {ZEROS}
    """,
}
BEFORE = {
    "equal_to_all": """
        class Yes(np.ndarray):
            def __new__(cls): return np.zeros(3).view(cls)
            def __eq__(self, other): return True
            def __array__(self, *a, **k): raise AttributeError
            shape = property(lambda self: (3,))
    """,
}
AT_IMPORT = """
import os
now = os._exit(0)


class Add:
    def forward(self, a, b):
        return now
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course and all submissions."""
    base = tmp_path_factory.mktemp("class")
    hostile.write_course(base / "lessons")
    students = base / "students"
    honest = hostile.write_workspace(students / "honest", hostile.HONEST, hostile.HONEST_SECOND)
    names = {"HONEST": str(honest / "work" / "01_first.py"), "PARENT": str(os.getpid())}
    for name, body in ATTACKS.items():
        for old, new in names.items():
            body = body.replace(old, new)
        hostile.write_workspace(students / name, hostile.add(body, BEFORE.get(name, "")))
    hostile.write_workspace(students / "at_import", AT_IMPORT)
    linked = hostile.write_workspace(students / "linked")
    (linked / "work" / "01_first.py").symlink_to(honest / "work" / "01_first.py")
    settings = hostile.write_workspace(students / "settings", hostile.add("return a"))
    for name in ("conftest.py", "sitecustomize.py", "tito.toml", "work/conftest.py", "work/helpers.py"):
        (settings / name).write_text("import os\nos._exit(0)\n")
    return base


def test_none_passes_and_none_harms_the_honest_one(folder: Path) -> None:
    """All graded in one run, without the review: what the boxes and the decoys alone hold back."""
    course = read_course(folder / "lessons")
    plan = Plan(course, course.lessons, seed=7, timeout=8.0, memory=2**31, review=False)
    with Grader(plan) as grader:
        found = grader.all(submissions(folder / "students"), 2, lambda grade: None)
    grades = {grade.name: grade for grade in found}
    assert len(grades) == len(ATTACKS) + 4
    honest = grades.pop("honest")
    assert [(mark.status, mark.text) for mark in honest.marks] == [("passed", "")] * 4
    assert (honest.score, honest.max_score, honest.notes) == (10, 10, [])
    texts = {name: [mark.text for mark in grade.marks] for name, grade in grades.items()}
    assert {name: texts[name] for name, grade in grades.items() if grade.score} == {}
    assert {name for name, text in texts.items() if not all(text)} == set()
    assert {grade.max_score for grade in grades.values()} == {10}
    caught = {name for name, grade in grades.items() if "asked for something wrong" in " ".join(grade.notes)}
    assert caught == {"expect", "compare", "pytest", "numpy", "frames"}
    assert "is not a plain file" in texts["linked"][0]
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        assert not list(Path(place).glob("tito-was-here"))


@pytest.mark.parametrize(
    "name", sorted({*ATTACKS} - {"loop", "memory", "interrupt", "equal_to_all", "print", "disk"})
)
def test_the_review_sees_what_reaches_out(folder: Path, name: str) -> None:
    path = folder / "students" / name / "work" / "01_first.py"
    found = grade_review.review(str(path), {"Add.forward": set()}, work)
    assert found["exercises"]["Add.forward"]
