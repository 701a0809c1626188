"""Attention and the transformer block: against NumPy, masks, causality, and the seam for a cache."""

import numpy as np
import pytest
from scipy.special import softmax

from tinytorch import Tensor, nn
from tinytorch.errors import ShapeError
from tinytorch.models import GPT
from tinytorch.ops.attention import attention
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.shape import concat
from tinytorch.random import Generator

RNG = np.random.default_rng(5)


class ConcatCache:
    """A cache that joins what it holds and what is new: the plainest that is a KVCacheLike."""

    def __init__(self, layers: int) -> None:
        self.held: list[tuple[Tensor, Tensor] | None] = [None] * layers

    @property
    def length(self) -> int:
        return min(0 if pair is None else pair[0].shape[2] for pair in self.held)

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        before = self.held[layer]
        pair = (k, v) if before is None else (concat([before[0], k], 2), concat([before[1], v], 2))
        self.held[layer] = pair
        return pair

    def positions(self, t: int) -> Tensor:
        return Tensor(np.arange(self.length, self.length + t)[None])

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
    ) -> Tensor:
        return attention(q, *self.append(layer, k, v), mask, causal)


class Weights:
    """Observer that keeps the attention weights."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def on_op(self, event: OpEvent) -> None:
        if event.op.name == "attention":
            self.seen.append(event.outputs[1].numpy())

    def on_exit(self, tensor: Tensor, how: str) -> None: ...


def make(seed: int = 1, dim: int = 8, heads: int = 2) -> nn.MultiHeadAttention:
    attention = nn.MultiHeadAttention(dim, heads, generator=Generator(seed))
    attention.to("float64")
    return attention


def weights_of(attention: nn.MultiHeadAttention, x: np.ndarray, **settings: object) -> np.ndarray:
    watcher = Weights()
    with observe(watcher):
        attention(Tensor(x), **settings)
    return watcher.seen[0]


def test_multi_head_attention_against_numpy() -> None:
    attention, x = make(), RNG.standard_normal((3, 5, 8))
    mask = RNG.random((3, 1, 5, 5)) < 0.6
    mask |= np.eye(5, dtype=bool)

    def project(layer: nn.Linear) -> np.ndarray:
        y = x @ layer.weight.data.T + layer.bias.data
        return np.stack([y[..., :4], y[..., 4:]], 1)

    q, k, v = project(attention.q_proj), project(attention.k_proj), project(attention.v_proj)
    scores = np.where(mask, np.einsum("bhtd,bhsd->bhts", q, k) / 2, -np.inf)
    mixed = np.einsum("bhts,bhsd->bthd", softmax(scores, -1), v).reshape(3, 5, 8)
    expected = mixed @ attention.out_proj.weight.data.T + attention.out_proj.bias.data
    assert np.allclose(attention(Tensor(x), Tensor(mask)).data, expected, rtol=1e-10)


def test_weights_depend_on_the_queries() -> None:
    attention, x = make(), RNG.standard_normal((1, 4, 8))
    before = weights_of(attention, x)
    assert not np.allclose(before[0, 0, 0], before[0, 0, 1])
    attention.q_proj.weight.assign_(attention.q_proj.weight.data[::-1].copy())
    assert not np.allclose(before, weights_of(attention, x))


def test_true_means_may_attend() -> None:
    attention, x = make(), RNG.standard_normal((2, 4, 8))
    mask = np.ones((2, 1, 4, 4), bool)
    mask[1, :, :, 2] = False
    weights = weights_of(attention, x, mask=Tensor(mask))
    assert (weights[1, :, :, 2] == 0).all()
    assert (weights[0] > 0).all()
    assert np.allclose(weights.sum(-1), 1)


def test_causal_weights_are_zero_above_the_diagonal() -> None:
    weights = weights_of(make(), RNG.standard_normal((1, 4, 8)), causal=True)
    assert np.array_equal(weights[0, 0] > 0, np.tri(4, dtype=bool))


@pytest.mark.parametrize("position", [0, 3, 6])
def test_outputs_do_not_depend_on_later_inputs(position: int) -> None:
    block = nn.TransformerBlock(8, 2, generator=Generator(2)).to("float64")
    x = RNG.standard_normal((2, 7, 8))
    changed = x.copy()
    changed[:, position:] += RNG.standard_normal((2, 7 - position, 8))
    before, after = block(Tensor(x)).data, block(Tensor(changed)).data
    assert np.array_equal(before[:, :position], after[:, :position])
    assert (np.abs(before - after)[:, position:].max(-1) > 1e-6).all()


def test_a_block_without_causality_looks_ahead() -> None:
    block = nn.TransformerBlock(8, 2, causal=False, generator=Generator(2)).to("float64")
    x = RNG.standard_normal((1, 4, 8))
    changed = x.copy()
    changed[:, 3] = RNG.standard_normal(8)
    assert not np.allclose(block(Tensor(x)).data[:, 0], block(Tensor(changed)).data[:, 0])


def test_block_adds_attention_and_mlp_of_normalised_inputs() -> None:
    block = nn.TransformerBlock(8, 2, mlp_ratio=3, generator=Generator(2)).to("float64")
    assert block.mlp.fc1.weight.shape == (24, 8)
    x = Tensor(RNG.standard_normal((1, 4, 8)))
    middle = x + block.attn(block.norm1(x), causal=True)
    expected = middle + block.mlp.fc2(nn.functional.gelu(block.mlp.fc1(block.norm2(middle)), "tanh"))
    assert np.allclose(block(x).data, expected.data, rtol=1e-12)


def test_dropout_acts_in_training_only() -> None:
    block = nn.TransformerBlock(8, 2, dropout=0.5, generator=Generator(2))
    x = Tensor(RNG.standard_normal((1, 4, 8)).astype(np.float32))
    assert not np.array_equal(block(x).data, block(x).data)
    everything = nn.TransformerBlock(8, 2, dropout=1.0)
    assert np.array_equal(everything(x).data, x.data)
    block.eval()
    assert np.array_equal(block(x).data, block(x).data)


@pytest.mark.parametrize("steps", [[1] * 10, [4, 1, 1, 3, 1], [9, 1]])
def test_cached_logits_equal_uncached(steps: list[int]) -> None:
    model = GPT(vocab_size=11, context=10, width=8, layers=3, heads=2, generator=Generator(3)).to("float64")
    for parameter in model.parameters():  # larger than at the start, so that differences would show
        parameter.assign_(RNG.standard_normal(parameter.shape) * 0.5)
    ids = RNG.integers(0, 11, (2, 10))
    cache, parts, start = ConcatCache(layers=3), [], 0
    for n in steps:
        parts.append(model(Tensor(ids[:, start : start + n]), cache=cache).data)
        start += n
    assert np.allclose(np.concatenate(parts, 1), model(Tensor(ids)).data, rtol=1e-10, atol=1e-10)
    with pytest.raises(ShapeError, match="after 10 cached positions"):
        model(Tensor(ids[:, :1]), cache=cache)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="3 heads do not divide"):
        nn.MultiHeadAttention(8, 3)
    with pytest.raises(ShapeError, match=r"\(batch, t, 8\)"):
        make()(Tensor(np.ones((4, 8))))
    with pytest.raises(ShapeError):
        make()(Tensor(np.ones((1, 4, 6))))
