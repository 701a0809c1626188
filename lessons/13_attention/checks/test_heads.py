"""Heads apart and together, and the whole layer."""

import numpy as np
import pytest
from helpers import attend

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.attention import MultiHeadAttention, merge_heads, split_heads
from tinytorch.ops.attention import attention
from tinytorch.tensor import Tensor

HEADS = [(2, 3, 8, 2), (1, 4, 6, 3), (3, 2, 4, 1), (2, 1, 5, 5), (0, 3, 4, 2)]


def parts(x, heads):
    """Head by head, cut out of the features: (batch, heads, t, head_dim)."""
    size = x.shape[2] // heads
    return np.stack([x[:, :, h * size : (h + 1) * size] for h in range(heads)], axis=1)


@exercise("split_heads")
@pytest.mark.parametrize(("b", "t", "dim", "heads"), HEADS)
def test_a_head_is_a_run_of_features(rng, b, t, dim, heads):
    a = rng.normal(size=(b, t, dim))
    x = Tensor(a)
    expect.close("split_heads(x, heads)", parts(a, heads))


@exercise("split_heads")
def test_gradients_pass_through_split(rng):
    x = Tensor(rng.normal(size=(2, 3, 4)), requires_grad=True)
    g = rng.normal(size=(2, 2, 3, 2))
    expect.value("split_heads(x, 2).backward(Tensor(g))")
    expect.close("x.grad", np.concatenate([g[:, 0], g[:, 1]], axis=-1))


@exercise("merge_heads")
@pytest.mark.parametrize(("b", "t", "dim", "heads"), HEADS)
def test_heads_side_by_side_again(rng, b, t, dim, heads):
    a = rng.normal(size=(b, t, dim))
    x = Tensor(parts(a, heads))
    expect.close("merge_heads(x)", a)


@exercise("merge_heads")
def test_gradients_pass_through_merge(rng):
    x = Tensor(rng.normal(size=(2, 2, 3, 2)), requires_grad=True)
    g = rng.normal(size=(2, 3, 4))
    expect.value("merge_heads(x).backward(Tensor(g))")
    expect.close("x.grad", parts(g, 2))


# ---------------------------------------------------------------- the layer


class Cache:
    """Keeps keys and values as arrays, and what it was called with."""

    def __init__(self):
        self.k = self.v = None
        self.calls = []

    @property
    def length(self):
        return 0 if self.k is None else self.k.shape[2]

    def append(self, layer, k, v):
        self.calls.append((layer, k.shape, v.shape))
        k, v = k.numpy(), v.numpy()
        self.k = k if self.k is None else np.concatenate([self.k, k], axis=2)
        self.v = v if self.v is None else np.concatenate([self.v, v], axis=2)
        return Tensor(self.k), Tensor(self.v)

    def attend(self, layer, q, k, v, mask=None, causal=True):
        return attention(q, *self.append(layer, k, v), mask, causal)


def layer_of(rng, dim, heads, bias=True, number=0):
    """A float64 layer with values of its own for every parameter."""
    layer = MultiHeadAttention(dim, heads, bias, layer=number).to("float64")
    for parameter in layer.parameters():
        parameter.assign_(rng.normal(size=parameter.shape) * 0.7)
    return layer


def expected(layer, x, causal=False, mask=None):
    """The layer's result from its weights, head by head in NumPy."""

    def linear(part, a):
        out = a @ part.weight.numpy().T
        return out if part.bias is None else out + part.bias.numpy()

    q, k, v = (parts(linear(part, x), layer.num_heads) for part in (layer.q_proj, layer.k_proj, layer.v_proj))
    found = attend(q, k, v, (layer.embed_dim // layer.num_heads) ** -0.5, causal, mask)
    return linear(layer.out_proj, np.concatenate([found[:, h] for h in range(layer.num_heads)], axis=-1))


@exercise("MultiHeadAttention.forward")
@pytest.mark.parametrize(("b", "t", "dim", "heads"), HEADS)
@pytest.mark.parametrize("causal", [False, True])
def test_layer(rng, b, t, dim, heads, causal):
    layer, a = layer_of(rng, dim, heads), rng.normal(size=(b, t, dim))
    x = Tensor(a)
    expect.close("layer(x, causal=causal)", expected(layer, a, causal))


@exercise("MultiHeadAttention.forward")
def test_layer_sees_everything_unless_told(rng):
    layer, a = layer_of(rng, 6, 2, bias=False), rng.normal(size=(2, 4, 6))
    x = Tensor(a)
    expect.close("layer(x)", expected(layer, a))


@exercise("MultiHeadAttention.forward")
@pytest.mark.parametrize("causal", [False, True])
def test_layer_heeds_its_mask(rng, causal):
    layer, a = layer_of(rng, 6, 3), rng.normal(size=(2, 4, 6))
    keep = rng.random((2, 1, 1, 4)) < 0.5
    x, mask = Tensor(a), Tensor(keep)
    expect.close("layer(x, mask, causal)", expected(layer, a, causal, keep))


@exercise("MultiHeadAttention.forward")
def test_with_a_cache_a_pass_goes_on_where_the_last_one_ended(rng):
    layer, a = layer_of(rng, 6, 2, number=7), rng.normal(size=(2, 5, 6))
    want, cache = expected(layer, a, causal=True), Cache()
    first, second, third = (Tensor(a[:, i:j]) for i, j in ((0, 2), (2, 4), (4, 5)))
    expect.close("layer(first, causal=True, cache=cache)", want[:, :2])
    expect.close("layer(second, causal=True, cache=cache)", want[:, 2:4])
    expect.close("layer(third, causal=True, cache=cache)", want[:, 4:])
    calls = [(7, (2, 2, t, 3), (2, 2, t, 3)) for t in (2, 2, 1)]
    expect.equal("cache.calls", calls)


@exercise("MultiHeadAttention.forward")
def test_a_cache_alone_hides_nothing(rng):
    layer, a = layer_of(rng, 6, 2), rng.normal(size=(2, 5, 6))
    cache, first, second = Cache(), Tensor(a[:, :3]), Tensor(a[:, 3:])
    expect.close("layer(first, cache=cache)", expected(layer, a[:, :3]))
    expect.close("layer(second, cache=cache)", expected(layer, a)[:, 3:])


@exercise("MultiHeadAttention.forward")
def test_a_mask_reaches_the_cache(rng):
    layer, a = layer_of(rng, 6, 2), rng.normal(size=(1, 3, 6))
    cache, x, mask = Cache(), Tensor(a), Tensor(np.eye(3, dtype=bool))
    expect.close("layer(x, mask, cache=cache)", expected(layer, a, mask=np.eye(3, dtype=bool)))


@exercise("MultiHeadAttention.forward")
def test_keys_and_values_are_not_mixed_up_in_the_cache(rng):
    layer, a = layer_of(rng, 4, 2), rng.normal(size=(1, 3, 4))
    x, cache = Tensor(a), Cache()
    expect.value("layer(x, cache=cache)")
    wanted = parts(a @ layer.k_proj.weight.numpy().T + layer.k_proj.bias.numpy(), 2)
    expect.close("cache.k", wanted)
    wanted = parts(a @ layer.v_proj.weight.numpy().T + layer.v_proj.bias.numpy(), 2)
    expect.close("cache.v", wanted)


@exercise("MultiHeadAttention.forward")
def test_an_input_without_three_axes_is_refused(rng):
    layer = layer_of(rng, 6, 2)
    flat, deep = Tensor(rng.normal(size=(4, 6))), Tensor(rng.normal(size=(1, 2, 4, 6)))
    expect.raises("layer(flat)", ShapeError, "(4, 6)")
    expect.raises("layer(deep)", ShapeError, "(1, 2, 4, 6)")


@exercise("MultiHeadAttention.forward")
def test_every_parameter_gets_a_gradient(rng):
    layer, x = layer_of(rng, 6, 2), Tensor(rng.normal(size=(2, 4, 6)))
    g = Tensor(rng.normal(size=(2, 4, 6)))
    expect.value("layer(x, causal=True).backward(g)")
    without = [name for name, p in layer.named_parameters() if p.grad is None or not p.grad.data.any()]
    expect.equal("without", [])
