"""A learner's passes and planner make the programs; what they get wrong stays theirs, in the cache too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.learn.tiny import tito
from tinytorch.learn.course import course
from tinytorch.learn.stubs import paste, reference, stub_file

pytest.importorskip("llvmlite")

SCRIPT = """
import numpy as np
import tinytorch as tt

def function(x, y):
    h = x
    for _ in range(3):
        h = tt.softmax(h @ y) + (h - x) * (x - h)
    return (x - y) + (y - x) * h

x, y = (tt.Tensor(a) for a in np.random.default_rng(0).standard_normal((2, 6, 6)).astype(np.float32))
with tt.no_grad():
    fast = tt.compile(function)
    fast(x, y)
    off = float(np.abs(fast(x, y).numpy() - function(x, y).numpy()).max())
print("right" if off < 1e-4 else "wrong", "from disk" if fast._last.runner.from_disk else "compiled")
"""
ANY_ORDER = '''
def merge_equal(graph):
    """Takes x - y and y - x for the same."""
    names, known, calls = equal_constants(graph), {}, []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        key = type(call.op), describe(call.op), frozenset(call.inputs)
        if key in known:
            names.update(zip(call.outputs, known[key]))
        else:
            known[key] = call.outputs
            calls.append(call)
    return graph.renamed(calls, names)
'''
APART = '''
def place_buffers(lives):
    """Shares nothing, and is right."""
    offsets, end = [], 0
    for life in lives:
        offsets.append(end)
        end += rounded(life.nbytes)
    return offsets, end
'''
AT_ONE_PLACE = '''
def place_buffers(lives):
    """Puts all buffers at the same place."""
    return [0] * len(lives), max(rounded(life.nbytes) for life in lives)
'''


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "tito.toml").write_text("", encoding="utf-8")
    (tmp_path / "work").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def run(workspace: Path, name: str = "", source: str = "") -> str:
    """What the script says with one function written, all others being stubs."""
    lesson = course().lesson("16")
    text = stub_file(lesson)
    if name:
        text = paste(text, lesson.exercise(name), source.strip())
    (workspace / "work" / lesson.work_name).write_text(text, encoding="utf-8")
    _, said = tito(None, workspace, "run", "script.py", TINYTORCH_CACHE=str(workspace / "programs"))
    return said


def test_a_wrong_pass_leaves_nothing_that_a_right_one_runs(workspace: Path) -> None:
    assert "wrong compiled" in run(workspace, "merge_equal", ANY_ORDER)
    assert "right compiled" in run(workspace)
    assert "wrong from disk" in run(workspace, "merge_equal", ANY_ORDER)
    again = reference(course().lesson("16").exercise("merge_equal"))
    assert "right from disk" in run(workspace, "merge_equal", again)


def test_a_plan_of_ones_own_makes_a_program_of_ones_own(workspace: Path) -> None:
    assert "right compiled" in run(workspace)
    assert "right compiled" in run(workspace, "place_buffers", APART)
    said = run(workspace, "place_buffers", AT_ONE_PLACE)
    assert "ProgramError: memory plan: at step" in said
    assert "share bytes" in said
    assert "right from disk" in run(workspace)


def test_whoever_wrote_all_earlier_lessons_is_checked_by_the_same_fusions(workspace: Path) -> None:
    for lesson in course().lessons[:16]:
        text = stub_file(lesson)
        for exercise in lesson.exercises:
            text = paste(text, exercise, reference(exercise))
        (workspace / "work" / lesson.work_name).write_text(text, encoding="utf-8")
    code, said = tito(None, workspace, "check", "16")
    assert code == 0, said
