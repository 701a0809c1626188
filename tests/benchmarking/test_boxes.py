"""What one box hands to the next: only where compilers keep things, and never over what was there first."""

from pathlib import Path

import numpy as np
import pytest

from tinytorch.benchmarking import warm as warmed
from tinytorch.benchmarking.boxes import Boxes, boxes
from tinytorch.benchmarking.events import event
from tinytorch.benchmarking.warm import warm


def some(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def test_what_came_first_stays(tmp_path: Path) -> None:
    box = Boxes(tmp_path, strict=False)
    box.keep_compiled({"cache programs/a.program": some("the baseline's")})
    box.keep_compiled({"cache programs/a.program": some("an entry's"), "cache numba/x/y.1.nbc": some("y")})
    assert {name: array.tobytes() for name, array in box.compiled().items()} == {
        "cache numba/x/y.1.nbc": b"y",
        "cache programs/a.program": b"the baseline's",
    }


@pytest.mark.parametrize(
    "name",
    [
        "cache ../first",
        "cache programs/../../first",
        "cache /etc/passwd",
        "cache programs/.hidden",
        "cache other/a",
        "cache programs/a/b/c",
        "outputs",
    ],
)
def test_nothing_else_is_written(name: str, tmp_path: Path) -> None:
    box = Boxes(tmp_path / "box", strict=False)
    box.keep_compiled({name: some("x")})
    assert list(tmp_path.rglob("*")) == []


def test_what_is_the_runners_own_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmed, "data_folder", lambda: tmp_path)
    older = tmp_path / "tinymlperf" / "mlp_sprint-of another runner.compiled"
    older.parent.mkdir()
    older.write_bytes(b"")
    with boxes() as box:
        warm(box, event("mlp_sprint"))
        made = box.compiled()
    assert any(name.startswith("cache programs/") for name in made)
    assert len(list((tmp_path / "tinymlperf").glob("*.compiled"))) == 1
    monkeypatch.setattr(warmed, "_made", lambda *rest: pytest.fail("it is kept"))
    with boxes() as box:
        warm(box, event("mlp_sprint"))
        assert {n: a.tobytes() for n, a in box.compiled().items()} == {
            n: a.tobytes() for n, a in made.items()
        }
