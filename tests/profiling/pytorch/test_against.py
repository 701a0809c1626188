"""From passes of two frameworks to who is slower, where and why: made-up passes with known differences."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytorch.errors import ProfilingError
from tinytorch.models import GPT, MLP
from tinytorch.profiling.pytorch.against import against_torch
from tinytorch.profiling.pytorch.against_rows import Against, Watched, alike, check_same, found, side_of
from tinytorch.profiling.pytorch.follow import BETWEEN, NamedOp
from tinytorch.profiling.pytorch.watch import torch_package
from tinytorch.profiling.rows import Times
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.trace import Pass, Record
from tinytorch.profiling.tree import modules_by_path

MODEL = GPT(vocab_size=10, context=8, width=8, layers=3, heads=2)
KINDS = {path: type(one).__name__ for path, one in modules_by_path(MODEL).items()}
US = 1e-6


def passes(spent: dict[str, float], rng: np.random.Generator, kernel: bool = False, runs: int = 20) -> Times:
    """Passes in which modules take so many microseconds each, give or take 1 %."""
    out = []
    for _ in range(runs):
        now, records = 0, []
        for path, microseconds in spent.items():
            end = now + round(1000 * microseconds * (1 + 0.01 * rng.standard_normal()))
            op = NamedOp("mm") if kernel else BETWEEN
            records.append(Record(path, op, False, now, end, end, end))
            now = end
        out.append(Pass(0, now, tuple(records)))
    return Times(out)


def made(
    ours: dict[str, float], theirs: dict[str, float], noise: float = 0.01, kernels: float = 0.5
) -> Against:
    """What is found where modules take so many microseconds, a part of them in kernels."""
    rng = np.random.default_rng(1)
    sums = [sum(side.values()) * US for side in (ours, theirs)]
    samples = [total * (1 + noise * rng.standard_normal(40)) for total in sums]
    inside = [{path: kernels * spent for path, spent in side.items()} for side in (ours, theirs)]
    watched = Watched(
        passes(ours, rng), passes(theirs, rng), *(passes(side, rng, kernel=True) for side in inside)
    )
    configuration = {"inputs": "int64[1, 8]", "runs": "40", "threads": "1", "PyTorch": "2"}
    return found("GPT", configuration, (samples[0], samples[1]), watched, KINDS, 3e-7, ("a note",))


ATTENTION = {f"blocks.{i}.attn": 100.0 for i in range(3)}
SLOW = made({**ATTENTION, "head": 50.0, "": 10.0}, {**dict.fromkeys(ATTENTION, 40.0), "head": 50.0, "": 10.0})


# ---------------------------------------------------------------- what is found


def test_the_whole_is_a_ratio_of_unwatched_passes() -> None:
    assert SLOW.total.value == pytest.approx(360 / 180, rel=0.01)
    assert SLOW.total.low is not None
    assert SLOW.total.high is not None
    assert SLOW.total.low < 2 < SLOW.total.high
    assert SLOW.verdict.endswith("the time of PyTorch: slower")
    assert SLOW.difference.value == pytest.approx(180 * US, rel=0.02)


def test_modules_alike_are_put_together_and_explain_the_difference() -> None:
    attention = SLOW.groups[0]
    assert attention.path == "blocks.*.attn"
    assert attention.ours.value == pytest.approx(300 * US, rel=0.01)
    assert attention.torch.value == pytest.approx(120 * US, rel=0.01)
    assert attention.ratio is not None
    assert attention.ratio.value == pytest.approx(2.5, rel=0.01)
    assert attention.difference.value == pytest.approx(180 * US, rel=0.02)
    assert attention.share == pytest.approx(1.0, abs=0.03)
    assert attention.in_kernels == pytest.approx(90 * US, rel=0.03)
    assert attention.kind == "MultiHeadAttention"
    assert sum(row.share or 0 for row in SLOW.groups) == pytest.approx(1.0, abs=0.02)
    assert SLOW.in_kernels == pytest.approx(90 * US, rel=0.03)


def test_rows_are_in_the_order_of_the_model() -> None:
    assert [row.path for row in SLOW.rows] == ["", "blocks.0.attn", "blocks.1.attn", "blocks.2.attn", "head"]
    assert {row.path: row.kind for row in SLOW.rows}["head"] == "Linear"


def test_where_we_are_faster_the_largest_gain_comes_first() -> None:
    one = made({"head": 50.0, "wte": 20.0}, {"head": 150.0, "wte": 19.0})
    assert one.verdict.endswith("faster")
    assert one.groups[0].path == "head"
    assert "less a pass; of that head 101" in repr(one) or "less a pass; of that head 100" in repr(one)


def test_equal_models_show_no_difference_and_no_shares() -> None:
    one = made({"head": 50.0}, {"head": 50.0}, noise=0.2)
    assert one.verdict.endswith("no difference shown")
    assert [row.share for row in one.rows] == [None]
    assert "Where: whole passes show no difference to explain." in repr(one)


def test_watched_passes_that_tell_another_story_explain_nothing() -> None:
    rng = np.random.default_rng(2)
    samples = [total * US * (1 + 0.01 * rng.standard_normal(40)) for total in (60, 50)]
    sides = [passes({"head": spent}, rng) for spent in (50, 60, 20, 20)]
    one = found("GPT", {}, (samples[0], samples[1]), Watched(*sides), KINDS, 0.0)
    assert one.verdict.endswith("slower")
    assert side_of(one.watched) == -1
    assert [row.share for row in one.rows] == [None]
    assert "watched passes do not show the difference" in " ".join(repr(one).split())


def test_a_module_that_only_one_has_no_ratio() -> None:
    one = made({"head": 50.0, "drop": 5.0}, {"head": 20.0})
    row = next(row for row in one.rows if row.path == "drop")
    assert row.ratio is None
    assert row.torch.value == 0
    assert row.difference.value == pytest.approx(5 * US, rel=0.02)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("blocks", "blocks"),
        ("blocks.0", "blocks.*"),
        ("blocks.2.mlp.fc1", "blocks.*.mlp.fc1"),
        ("head", "head"),
    ],
)
def test_alike_modules(path: str, expected: str) -> None:
    assert alike(path, KINDS) == expected


def test_layers_of_an_mlp_are_not_alike() -> None:
    kinds = {path: type(one).__name__ for path, one in modules_by_path(MLP((4, 4, 4))).items()}
    assert [alike(path, kinds) for path in kinds] == list(kinds)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(1.1, 1.3, 1), (0.7, 0.9, -1), (0.9, 1.1, 0), (None, None, 0)]
)
def test_sides(low: float | None, high: float | None, expected: int) -> None:
    assert side_of(Estimate(1.0, low, high), 1.0) == expected


# ---------------------------------------------------------------- text


def test_the_report_says_where_and_why_in_100_columns() -> None:
    lines = repr(SLOW).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("GPT: TinyTorch takes 2.0")
    assert any(
        line.startswith("Where: 18") and "more a pass; of that blocks.*.attn" in line for line in lines
    )
    assert any(line.startswith("Why: kernels +") for line in lines)
    assert any(line.startswith("blocks.*.attn") and "300" in line for line in lines)
    assert any("watched passes take" in line for line in lines)
    assert "a note" in lines


def test_many_modules_are_summed_up() -> None:
    ours = {path: 20.0 + i for i, path in enumerate(KINDS)}
    lines = repr(made(ours, {path: spent / 2 for path, spent in ours.items()})).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("module "))
    table = lines[head + 1 : lines.index("", head)]
    assert len(table) == 17
    assert table[-1].split()[1] == "others"
    assert max(map(len, lines)) <= 100


# ---------------------------------------------------------------- outputs, and bad input


def output(*values: float) -> Any:
    return SimpleNamespace(shape=(len(values),), numpy=lambda: np.array(values, np.float32))


def test_outputs_are_compared() -> None:
    assert check_same("m", output(1.0, 2.0), output(1.0, 2.00002)) == pytest.approx(1e-5, rel=0.05)
    assert check_same("m", (output(1.0), output()), [output(1.0), output()]) == 0
    assert check_same("m", output(1e-9), output(2e-9)) < 1e-8  # over 1 where all is small


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (output(1.0, 2.0), output(1.0, 2.1), "outputs differ from PyTorch's by 0.048"),
        (output(1.0), output(float("nan")), "outputs differ from PyTorch's by nan"),
        (output(1.0), output(1.0, 2.0), r"outputs of shapes \(1,\) and \(2,\)"),
        ((output(1.0), output(1.0)), output(1.0), r"outputs of shapes \(1,\) and \(\)"),
    ],
)
def test_outputs_that_differ_are_refused(ours: Any, theirs: Any, message: str) -> None:
    with pytest.raises(ProfilingError, match=message):
        check_same("m", ours, theirs)


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    torch_package.cache_clear()
    model = MLP((4, 3))
    try:
        with pytest.raises(ProfilingError, match="pip install torch"):
            against_torch(model)
    finally:
        torch_package.cache_clear()
    assert model.training


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (len, {}, "no model of TinyTorch"),
        (MLP((4, 3)), {"args": (1.0,)}, "takes inputs that are tensors"),
        (MLP((4, 3)), {"args": ()}, "missing a required argument"),
        (MLP((4, 3)), {"runs": 0}, "runs=0"),
    ],
)
def test_bad_input(model: Any, settings: Any, message: str) -> None:
    with pytest.raises(ProfilingError, match=message):
        against_torch(model, **settings)
