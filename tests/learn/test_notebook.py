"""A lesson as a notebook: it runs from top to bottom, and the cell of an exercise keeps and checks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.learn.tiny import in_course, write_course
from tinytorch.errors import LearnError
from tinytorch.learn.course import Lesson, course
from tinytorch.learn.notebook import write_notebook
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


def _run(path: Path) -> list[Any]:
    """The code cells of a notebook after it ran from top to bottom."""
    found = nbformat.read(path, as_version=4)
    NotebookClient(found, timeout=60, resources={"metadata": {"path": str(path.parent)}}).execute()
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


def test_a_notebook_is_never_overwritten(place: tuple[Lesson, Workspace]) -> None:
    write_notebook(*place)
    with pytest.raises(LearnError, match=r"work/01_shapes.ipynb is there already"):
        write_notebook(*place)
