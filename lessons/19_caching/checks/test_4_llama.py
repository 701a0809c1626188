"""Attention with rotary positions, and fewer heads of keys than of queries."""

import numpy as np
import pytest
from helpers import attend, quiet, sees, turned

from tinytorch.autograd import no_grad
from tinytorch.caching.kv_cache import KVCache
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models.llama import Angles, Llama, LlamaAttention
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

BASE = 100.0
HEADS = [(4, 2), (3, 3), (6, 1), (6, 3)]


def layer_of(rng, heads, kv_heads, number=0):
    """A layer in float64 with values of its own for every parameter; four features a head."""
    angles = Angles(30, 4, BASE)
    exact = np.outer(np.arange(30), BASE ** (-np.arange(0, 4, 2) / 4))
    angles.cos, angles.sin = Tensor(np.cos(exact)), Tensor(np.sin(exact))
    layer = LlamaAttention(4 * heads, heads, kv_heads, angles, layer=number).to("float64")
    for parameter in layer.parameters():
        parameter.assign_(rng.normal(size=parameter.shape) * 0.7)
    return layer


def parts(x, linear, heads):
    """What a projection makes of x: (t, width), head by head: (heads, t, 4)."""
    return (x @ linear.weight.numpy().T).reshape(len(x), heads, 4).swapaxes(0, 1)


def expected(layer, x, positions):
    """The layer's result for x: (t, width), in NumPy: each position sees those that stand before it in x."""
    q, k, v = (
        parts(x, linear, heads)
        for linear, heads in (
            (layer.q_proj, layer.heads),
            (layer.k_proj, layer.kv_heads),
            (layer.v_proj, layer.kv_heads),
        )
    )
    seen = [[sees(i, j) for j in range(len(x))] for i in range(len(x))]
    out = attend(turned(q, positions, BASE), turned(k, positions, BASE), v, 0.5, seen)
    return out.swapaxes(0, 1).reshape(len(x), -1) @ layer.out_proj.weight.numpy().T


class Plain:
    """A cache that keeps all it gets in one piece, and attends in NumPy."""

    def __init__(self):
        self.k = self.v = np.zeros((0, 0, 0, 0))
        self.layers = []

    def attend(self, layer, q, k, v, mask=None, causal=True):
        self.layers.append(layer)
        first = self.k.shape[2]
        self.k, self.v = (
            np.concatenate([old, new.numpy()], 2) if first else new.numpy().copy()
            for old, new in ((self.k, k), (self.v, v))
        )
        seen = [[sees(first + i, j) for j in range(self.k.shape[2])] for i in range(q.shape[2])]
        return Tensor(
            np.array([attend(*each, 0.5, seen) for each in zip(q.numpy(), self.k, self.v, strict=True)])
        )


@exercise("LlamaAttention.forward")
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
def test_the_layer_without_a_cache(rng, heads, kv_heads):
    layer, a = layer_of(rng, heads, kv_heads), rng.normal(size=(2, 5, 4 * heads))
    x, positions = Tensor(a), Tensor(np.arange(5)[None])
    want = np.array([expected(layer, row, np.arange(5)) for row in a])
    expect.close("layer(x, positions)", want, 1e-5, 1e-6)


@exercise("LlamaAttention.forward")
def test_positions_are_those_that_are_given(rng):
    layer, a = layer_of(rng, 4, 2), rng.normal(size=(2, 4, 16))
    places = np.array([[0, 3, 4, 20], [1, 2, 9, 10]])
    x, positions = Tensor(a), Tensor(places)
    want = np.array([expected(layer, row, place) for row, place in zip(a, places, strict=True)])
    expect.close("layer(x, positions)", want, 1e-5, 1e-6)


@exercise("LlamaAttention.forward")
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
def test_with_a_cache_a_pass_goes_on_where_the_last_one_ended(rng, heads, kv_heads):
    layer, a = layer_of(rng, heads, kv_heads, 7), rng.normal(size=(2, 6, 4 * heads))
    want, cache, begin = np.array([expected(layer, row, np.arange(6)) for row in a]), Plain(), 0
    for t in (3, 1, 2):
        x, positions = Tensor(a[:, begin : begin + t]), Tensor(begin + np.arange(t)[None])
        expect.close("layer(x, positions, cache)", want[:, begin : begin + t], 1e-5, 1e-6, cache=cache)
        begin += t
    expect.equal("cache.layers", [7, 7, 7], cache=cache)


@exercise("LlamaAttention.forward")
def test_keys_are_turned_before_they_are_cached_and_values_are_not(rng):
    layer, a = layer_of(rng, 6, 2), rng.normal(size=(1, 4, 24))
    x, positions, cache = Tensor(a), Tensor([[5, 6, 8, 11]]), Plain()
    expect.value("layer(x, positions, cache)")
    k = turned(parts(a[0], layer.k_proj, 2), np.array([5, 6, 8, 11]), BASE)
    expect.close("cache.k", k[None], 1e-5, 1e-6)
    expect.close("cache.v", parts(a[0], layer.v_proj, 2)[None], 1e-9, 1e-9)


@exercise("LlamaAttention.forward")
def test_every_parameter_gets_a_gradient(rng):
    layer, x = layer_of(rng, 4, 2), Tensor(rng.normal(size=(2, 4, 16)))
    g, positions = Tensor(rng.normal(size=(2, 4, 16))), Tensor(np.arange(4)[None])
    expect.value("layer(x, positions).backward(g)")
    without = [name for name, p in layer.named_parameters() if p.grad is None or not p.grad.data.any()]
    expect.equal("without", [])


@exercise("LlamaAttention.forward")
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_model_says_the_same_with_a_cache(rng, dtype):
    model = Llama(20, 24, 16, 2, 4, 2, 24, generator=Generator(0)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.assign_((0.3 * rng.normal(size=parameter.shape)).astype(np.float32))
    ids = rng.integers(0, 20, size=(2, 12))
    with no_grad():
        want = model(Tensor(ids)).numpy()
        cache, begin = KVCache(2, 2, 4, 24, dtype, page=4, batch=2), 0
        for t in (5, 1, 1, 4, 1):
            piece = Tensor(ids[:, begin : begin + t])
            near = {"float32": 1e-4, "float16": 0.05, "int8": 0.5}[dtype]
            expect.close(
                "model(piece, cache)",
                want[:, begin : begin + t],
                0,
                near,
                model=model,
                cache=cache,
                piece=piece,
            )
            begin += t
