"""The report of a count: what it says, and that it fits the page."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch import nn
from tinytorch.models import GPT, MLP
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.counting.text import text


def test_the_report() -> None:
    model = GPT(vocab_size=11, context=8, width=8, layers=12, heads=2)
    flops = FLOPCounter("all", causal=True).count(model, backward=True)
    lines = text(flops).splitlines()
    assert str(flops) == repr(flops) == text(flops)
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith(
        f"GPT: {int(flops):,} FLOP (every op, causal pairs alone), {flops.macs:,} multiply"
    )
    assert any(line.startswith("  [0-11] TransformerBlock") for line in lines)
    assert any(line.split()[:3] == ["linear", "72", f"{flops.parts['linear']:,}"] for line in lines)
    assert f"{len(flops.by_op) - 12} more" in text(flops)
    assert lines[-1] == "Coverage: 100.0 % of the ops have a rule."


def test_layers_that_differ_have_a_line_each() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3), nn.ReLU())
    lines = text(FLOPCounter().count(model, input_shape=(2, 4))).splitlines()
    starts = [line.split("  ")[0].strip() for line in lines]
    assert "[0-1] Linear" in starts
    assert "2 Linear" in starts
    assert "3 ReLU" in starts


def test_a_deep_tree_shows_its_first_levels_and_says_so() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(n, n + 1), nn.ReLU()) for n in range(1, 41)))
    shown = text(FLOPCounter().count(model, input_shape=(2, 1)))
    assert "Only the first 1 levels are shown; all are in by_module." in " ".join(shown.split())
    assert len(shown.splitlines()) < 60
    assert "ReLU" not in shown


def test_callables_have_no_tree_and_nothing_has_no_table() -> None:
    shown = text(FLOPCounter().count(lambda x: x @ x, input_shape=(2, 2)))
    assert "module" not in shown
    assert "matmul" in shown
    assert "No op of TinyTorch ran." in text(FLOPCounter().count(lambda: None))


@given(st.text(min_size=1, max_size=150))
@settings(max_examples=30, deadline=None)
def test_any_name_fits_the_page(name: str) -> None:
    flops = FLOPCounter().count(MLP((4, 3)), input_shape=(2, 4))
    flops.name = name
    shown = text(flops)
    assert all(len(line) <= 100 for line in shown.split("\n"))
    assert all(c.isprintable() or c == "\n" for c in shown)
