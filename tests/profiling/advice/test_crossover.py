"""Attention's share: passes of known times give known shares, and a known crossing is found again."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tinytorch import nn
from tinytorch.errors import ProfilingError, ShapeError
from tinytorch.models import GPT, MLP
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.attention import Attention
from tinytorch.ops.matmul import Linear
from tinytorch.profiling.advice.crossover import (
    Crossing,
    attention_share,
    crossing,
    crossover,
    shares_of,
)
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.trace import Pass, Record
from tinytorch.threads import get_num_threads


def a_pass(*ops: tuple[str, object, int], rest: int = 0) -> Pass:
    """A pass of ops that take so many ns each, and a rest of Python after the last."""
    now, records = 0, []
    for path, op, length in ops:
        records.append(Record(path, op, False, now, now + length, now + length, now + length))  # type: ignore[arg-type]
        now += length
    return Pass(0, now + rest, tuple(records))


ATTENTION, LINEAR, ADD = Attention(True, 1.0), Linear(), Add()


def test_shares_of_a_pass_whose_times_are_known() -> None:
    one = a_pass(
        ("blocks.0.attn.q_proj", LINEAR, 100),
        ("blocks.0.attn", ATTENTION, 300),
        ("blocks.0.attn.out_proj", LINEAR, 100),
        ("blocks.0.mlp.fc1", LINEAR, 350),
        ("blocks.0.attention_like", ADD, 50),
        ("blocks.0", ADD, 50),
        rest=50,
    )
    assert shares_of(one, ["blocks.0.attn"]) == pytest.approx((0.3, 0.5))
    assert shares_of(one, ["blocks.0.attn", "blocks.0.mlp"]) == pytest.approx((0.3, 0.85))
    other = a_pass(("attn2.q_proj", LINEAR, 100), ("attn.q_proj", LINEAR, 100))
    assert shares_of(other, ["attn"]) == pytest.approx((0.0, 0.5))
    assert shares_of(one, []) == pytest.approx((0.3, 0.0))


def test_the_share_of_a_model_at_a_stated_configuration() -> None:
    model = GPT(vocab_size=32, context=64, width=32, layers=2, heads=2).eval()
    found = attention_share(model, batch=3, seq=16, rounds=30)
    assert 0 < found.core.value < found.module.value < 1
    for estimate in (found.core, found.module):
        ends = [end for end in (estimate.low, estimate.high) if end is not None]
        assert min(ends, default=0) <= estimate.value <= max(ends, default=1)
    assert "width=32" in found.configuration
    assert f"batch 3, 16 tokens, eval, {get_num_threads()} thread" in found.configuration
    text = str(found)
    assert text.startswith("Attention takes ")
    assert found.configuration in text
    assert "64 tokens, training" in attention_share(model.train(), rounds=2).configuration


def test_what_has_no_share_of_attention() -> None:
    with pytest.raises(ProfilingError, match="MLP has no MultiHeadAttention"):
        attention_share(MLP((4, 3)))
    with pytest.raises(ProfilingError, match="has no example_input"):
        attention_share(nn.TransformerBlock(8, 2))
    block = nn.TransformerBlock(8, 2)
    block.example_input = nn.Embedding(4, 8).weight
    with pytest.raises(ProfilingError, match=r"no token ids \(batch, t\)"):
        attention_share(block)
    model = GPT(vocab_size=8, context=8, width=8, layers=1, heads=1)
    for bad in ({"batch": 0}, {"seq": 0}, {"seq": -3}, {"rounds": 0}):
        with pytest.raises(ProfilingError, match="expected 1 or more"):
            attention_share(model, **bad)
    with pytest.raises(ShapeError, match="at most 8 positions"):
        attention_share(model, seq=9)


# ---------------------------------------------------------------- where it passes half


def curve(lengths: tuple[int, ...], half: float, noise: float, rounds: int, seed: int) -> list[list[float]]:
    """Shares t / (t + half) of each round: half exactly where t is `half`."""
    rng = np.random.default_rng(seed)
    share = np.array([n / (n + half) for n in lengths])
    return [(share + noise * rng.standard_normal(len(lengths))).tolist() for _ in range(rounds)]


LENGTHS = (32, 64, 128, 256, 512, 1024)


@pytest.mark.parametrize("half", [50.0, 181.0, 700.0])
def test_a_known_crossing_is_found_again(half: float) -> None:
    found = crossing(LENGTHS, curve(LENGTHS, half, 0.01, 30, 1)).at
    assert found is not None
    assert found.value == pytest.approx(half, rel=0.05)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= half * 1.05
    assert found.high >= half * 0.95


def test_shares_that_fall_at_first_are_made_to_rise() -> None:
    """Overheads make attention's share larger at short lengths, which is no crossing."""
    rounds = [[0.47, 0.45, 0.43, 0.45, 0.49, 0.60]] * 8
    found = crossing(LENGTHS, rounds).at
    assert found is not None
    assert 512 < found.value < 1024
    dip = [[0.51, 0.40, 0.40, 0.40, 0.40, 0.60]] * 8
    assert crossing(LENGTHS, dip).at.value > 512  # type: ignore[union-attr]


def test_not_reached_is_an_answer() -> None:
    found = crossing(LENGTHS, curve(LENGTHS, 1e6, 0.01, 20, 2))
    assert found == Crossing(None, 32, 1024)
    assert str(found) == "not reached up to 1,024 tokens"


def test_reached_in_most_rounds_only_has_no_upper_end() -> None:
    rounds = [[0.3, 0.6]] * 12 + [[0.3, 0.4]] * 8
    rounds = [rounds[i] for i in np.random.default_rng(0).permutation(20)]
    found = crossing((64, 256), rounds)
    assert found.at is not None
    assert found.at.high is None
    assert str(found).endswith("beyond 256]")
    assert crossing((64, 256), rounds[:4] + [[0.3, 0.4]] * 6).at is None


def test_reached_from_the_start() -> None:
    found = crossing((64, 256), [[0.6, 0.8]] * 8)
    assert found.already
    assert str(found) == "at 64 tokens, the shortest length, already"


def test_a_block_measured() -> None:
    found = crossover(width=16, heads=2, lengths=(64, 4, 16), rounds=8, batch=2, causal=False)
    assert found.lengths == (4, 16, 64)
    assert len(found.core) == len(found.module) == 3
    assert all(0 < c.value < m.value < 1 for c, m in zip(found.core, found.module, strict=True))
    assert found.configuration.startswith("width 16, 2 heads, batch 2, not causal, ")
    assert found.configuration in str(found)
    assert json.loads(json.dumps(asdict(found)))["lengths"] == [4, 16, 64]
    expected = Crossing(None, 4, 64)
    longest = max(found.core, key=lambda estimate: estimate.value)
    if longest.high is not None and longest.high < 0.4:
        assert found.core_crossing == expected


def test_the_longer_the_more_attention_takes() -> None:
    """From 16 to 512 tokens the op does 1024 times the work, the rest of the block 32 times."""
    found = crossover(width=32, heads=2, lengths=(16, 512), rounds=8)
    assert found.core[1].value > found.core[0].value


@pytest.mark.parametrize(
    "bad",
    [
        {"lengths": ()},
        {"lengths": (8,)},
        {"lengths": (8, 8)},
        {"lengths": (0, 8)},
        {"rounds": 0},
        {"batch": 0},
    ],
)
def test_bad_sizes(bad: dict[str, object]) -> None:
    with pytest.raises(ProfilingError, match="expected two different lengths or more"):
        crossover(**{"width": 8, "heads": 1, "lengths": (2, 4), **bad})  # type: ignore[arg-type]


def test_an_end_of_the_interval_can_be_open() -> None:
    assert str(Crossing(Estimate(100.4, None, 120.0), 32, 1024)) == "at 100 tokens [-, 120]"
