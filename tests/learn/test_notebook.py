"""A lesson as a notebook: it runs from top to bottom, and the cell of an exercise keeps and checks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.learn.tiny import in_course, write_course
from tinytorch.errors import LearnError
from tinytorch.learn.course import Lesson, course
from tinytorch.learn.magic import exercise
from tinytorch.learn.notebook import notebook, write_notebook
from tinytorch.learn.progress import load
from tinytorch.learn.stubs import paste, reference, stub_file
from tinytorch.learn.workspace import Workspace, begin

README = """# 01 Shapes

Some words.

```python
import numpy as np
from tinytorch.ops.matmul import MatMul
print(MatMul().forward(np.ones((1, 2)), np.ones((2, 1))))
```

```text
[[2.]]
```

```sh
tito status   # the road
```

## Exercises

### `broadcast`

What it does.

### 3. `MatMul.forward`

A product.

## Success criteria

```python
import tinytorch as tt
print("last", (tt.ones(1, 2) @ tt.ones(2, 1)).item())
```
"""
WRONG = '''%%exercise 01 MatMul.forward
class MatMul:
    def forward(self, a, b):
        """Doc."""
        return -(a @ b)'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lesson, Workspace]]:
    lessons = write_course(tmp_path / "lessons")
    (lessons / "01_shapes" / "README.md").write_text(README, encoding="utf-8")
    workspace = begin(tmp_path / "mon \u00e9t\u00e9")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with in_course(lessons, workspace.root):
        yield course().lesson("01"), workspace


def _run(path: Path, seconds: int = 60) -> list[Any]:
    """The code cells of a notebook after it ran from top to bottom."""
    found = nbformat.read(path, as_version=4)
    NotebookClient(found, timeout=seconds, resources={"metadata": {"path": str(path.parent)}}).execute()
    return [cell for cell in found.cells if cell.cell_type == "code"]


def _said(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_a_fresh_notebook_runs_from_top_to_bottom(place: tuple[Lesson, Workspace]) -> None:
    path = write_notebook(*place)
    assert path == place[1].work / "01_shapes.ipynb"
    cells = _run(path)
    assert [c.source.splitlines()[0][:40] for c in cells] == [
        "# Run this cell first. From here on, wha",
        "import numpy as np",
        "%tito status",
        "%%exercise 01 broadcast",
        "%%exercise 01 MatMul.forward",
        "import tinytorch as tt",
    ]
    assert _said(cells[1]) == "[[2.]]\n"
    assert "0 of 5 exercises done" in _said(cells[2])
    assert _said(cells[3]) == "broadcast is not written yet.\n"
    assert _said(cells[5]) == "last 2.0\n"
    assert not place[1].started(place[0])


def test_a_cell_keeps_checks_and_uses_what_it_holds(place: tuple[Lesson, Workspace]) -> None:
    lesson, workspace = place
    path = write_notebook(lesson, workspace)
    found = nbformat.read(path, as_version=4)
    for cell in found.cells:
        if cell.source.startswith("%%exercise 01 MatMul"):
            assert "raise NotImplementedError" in cell.source
            cell.source = WRONG
    nbformat.write(found, path)
    cells = _run(path)
    assert "expected" in _said(cells[4])
    assert "MatMul().forward(a, b)" in _said(cells[4])
    assert _said(cells[5]) == "last -2.0\n"
    assert workspace.written(lesson)["MatMul.forward"].started
    path.unlink()
    again = nbformat.read(write_notebook(lesson, workspace), as_version=4)
    (mine,) = [c for c in again.cells if c.source.startswith("%%exercise 01 MatMul")]
    assert mine.source == WRONG


def test_names_stand_for_the_new_code_and_old_objects_are_named(place: tuple[Lesson, Workspace]) -> None:
    """`tt`, a class and a function imported before the cell; a tensor made before it; the same cell again."""
    lesson, workspace = place
    path = write_notebook(lesson, workspace)
    found = nbformat.read(path, as_version=4)
    before = (
        "import tinytorch as tt\nfrom tinytorch.ops.matmul import MatMul, matmul\n"
        "x, array = tt.ones(1, 1), 'no tensor'"
    )
    after = (
        "print(MatMul().forward(x.data, x.data), matmul(tt.ones(1, 1), tt.ones(1, 1)).item())\n"
        "again = tt.ones(1, 1)"
    )
    last = "print((again @ tt.ones(1, 1)).item())"
    sources = [found.cells[0].source, before, WRONG, after, WRONG, last]
    found.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(found, path)
    cells = _run(path)
    assert "Made by the code as it was: x. Run" in _said(cells[2])
    assert _said(cells[3]) == "[[-1.]] -1.0\n"
    assert "expected" in _said(cells[4])
    assert "Made by" not in _said(cells[4])
    assert _said(cells[5]) == "-1.0\n"


@pytest.mark.parametrize("label", ["07", "11"])
def test_what_is_written_already_runs_in_the_notebook_of_a_lesson(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """07 uses what it imported before its exercises, 11 begins with a class method; see scripted_learner."""
    lesson = course().lesson(label)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    workspace = begin(tmp_path)
    first = lesson.exercises[0]
    workspace.work.mkdir()
    text = paste(stub_file(lesson), first, reference(first))
    workspace.file(lesson).write_text(text, encoding="utf-8")
    said = [_said(cell) for cell in _run(write_notebook(lesson, workspace), seconds=300)]
    assert any(text.startswith(f"{first.name} passes") for text in said)
    assert sum("is not written yet." in text for text in said) == len(lesson.exercises) - 1
    assert workspace.file(lesson).read_text(encoding="utf-8") == text


def test_a_notebook_is_never_overwritten(place: tuple[Lesson, Workspace]) -> None:
    write_notebook(*place)
    with pytest.raises(LearnError, match=r"work/01_shapes.ipynb is there already"):
        write_notebook(*place)


# ---------------------------------------------------------------- what a cell holds

CELL = """from __future__ import annotations
import functools
import numpy as np

ONE, TWO = 1, 2  # used below


@functools.cache
def scale():
    return ONE


class MatMul:
    AXES = 2

    def forward(self, a, b):
        assert self.AXES == 2
        return self._product(a, b) * scale()

    def _product(self, a, b):
        return np.matmul(a, b)

    def flops(self, out, a, b):
        raise NotImplementedError
"""


def test_a_pass_is_noted_and_helpers_are_kept(
    place: tuple[Lesson, Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    lesson, workspace = place
    exercise(workspace, "01 MatMul.forward", CELL)
    assert "MatMul.forward passes (1 checks" in capsys.readouterr().out
    assert [*load(workspace).passed] == [lesson.exercise("MatMul.forward").id]
    assert len(load(workspace).heads) == len(lesson.exercises)
    text = workspace.file(lesson).read_text(encoding="utf-8")
    assert text.count("import functools\n") == text.count("ONE, TWO = 1, 2\n") == 1
    assert text.count("@functools.cache\ndef scale():\n    return ONE\n") == 1
    assert text.index("def scale") < text.index("class MatMul")
    assert text.count("import numpy as np") == text.count("from __future__") == 1
    assert not workspace.written(lesson)["MatMul.flops"].started
    exercise(workspace, "01 MatMul.forward", CELL.replace("return ONE", "return TWO"))
    assert "expected" in capsys.readouterr().out
    again = workspace.file(lesson).read_text(encoding="utf-8")
    assert again == text.replace("return ONE", "return TWO")
    assert load(workspace).passed == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_a_cell_leaves_the_rest_of_the_file_as_it_is(place: tuple[Lesson, Workspace], encoding: str) -> None:
    lesson, workspace = place
    start = f"# -*- coding: {encoding} -*-\r\nNAME = '\u00e9t\u00e9'\r\n"
    path = workspace.file(lesson)
    path.parent.mkdir()
    path.write_bytes((start + "class MatMul:\r\n    pass\r\n").encode(encoding))
    exercise(workspace, "01 MatMul.forward", CELL)
    text = path.read_bytes().decode(encoding)
    assert text.startswith(start)
    assert text.count("\n") == text.count("\r\n")
    assert workspace.written(lesson)["MatMul.forward"].started
    with (
        pytest.raises(LearnError, match="iso-8859-1, which lacks") if encoding == "latin-1" else nullcontext()
    ):
        exercise(workspace, "01 MatMul.forward", CELL.replace("used below", "").replace("2  #", "'\u2028'"))


def test_what_cannot_be_used_is_said_in_one_line(
    place: tuple[Lesson, Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = place[1]
    with pytest.raises(LearnError, match=r"^line 3 of the cell: Python cannot read it: .*: return a b$"):
        exercise(workspace, "01 broadcast", "def broadcast(a, b):\n    return a b\n")
    with pytest.raises(LearnError, match=r"%%exercise 02"):
        exercise(workspace, "01", CELL)
    exercise(workspace, "01 MatMul.forward", CELL + "print(MatMul)\nONE, TWO = TWO, ONE\nclass Spec: pass\n")
    said = capsys.readouterr().out
    assert "line 26 of the cell is not kept" in said
    assert "line 28 of the cell is not kept" in said
    text = workspace.file(place[0]).read_text(encoding="utf-8")
    assert text.count("ONE, TWO = TWO, ONE\n") == text.count("ONE, TWO = 1, 2\n") == 1
    assert "nbytes" in text


@pytest.mark.parametrize("lesson", course().lessons, ids=lambda lesson: lesson.label)
def test_each_exercise_of_each_lesson_has_a_cell_in_order(lesson: Lesson, tmp_path: Path) -> None:
    made = notebook(lesson, begin(tmp_path))
    first = [cell.source.splitlines()[0] for cell in made.cells if cell.source.startswith("%%exercise")]
    assert first == [f"%%exercise {lesson.label} {exercise.name}" for exercise in lesson.exercises]
