"""The parts of a block, and the block."""

import numpy as np
import pytest
from helpers import Cache, Times, block_of, feed_forward, shaken

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.transformer import FeedForward, TransformerBlock
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- the MLP


@exercise("FeedForward.forward")
@pytest.mark.parametrize("approximate", ["tanh", "none"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 4), (4,), (0, 4)])
def test_two_layers_with_gelu_between(rng, shape, approximate):
    mlp, a = shaken(FeedForward(4, 6, approximate), rng, 0.8), rng.normal(size=shape)
    x = Tensor(a)
    expect.close("mlp(x)", feed_forward(mlp, a, approximate))


@exercise("FeedForward.forward")
def test_positions_do_not_mix(rng):
    mlp, a = shaken(FeedForward(3, 12), rng), rng.normal(size=(1, 4, 3))
    x, one = Tensor(a), Tensor(a[:, 2])
    expect.close("mlp(x)[:, 2]", mlp(one).numpy())
    expect.close("mlp(one)", feed_forward(mlp, a[:, 2]))


@exercise("FeedForward.forward")
def test_every_parameter_of_the_mlp_learns(rng):
    mlp, x = shaken(FeedForward(3, 5), rng), Tensor(rng.normal(size=(4, 3)))
    g = Tensor(rng.normal(size=(4, 3)))
    expect.value("mlp(x).backward(g)")
    expect.equal("[name for name, p in mlp.named_parameters() if p.grad is None]", [], mlp=mlp)


# ---------------------------------------------------------------- the block


@exercise("TransformerBlock.forward")
@pytest.mark.parametrize(("b", "t", "dim", "heads"), [(2, 3, 4, 2), (1, 5, 6, 3), (1, 1, 4, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_block(rng, b, t, dim, heads, causal):
    block = shaken(TransformerBlock(dim, heads, causal=causal), rng)
    a = rng.normal(size=(b, t, dim))
    x = Tensor(a)
    expect.close("block(x)", block_of(block, a, causal), 1e-5)
    expect.equal("x", a)


@exercise("TransformerBlock.forward")
def test_block_hands_the_mask_on(rng):
    block, a = shaken(TransformerBlock(4, 2, causal=False), rng), rng.normal(size=(2, 3, 4))
    keep = np.array([[True, False, True], [True, True, False], [False, False, True]])
    x, mask = Tensor(a), Tensor(keep)
    expect.close("block(x, mask)", block_of(block, a, False, keep))


@exercise("TransformerBlock.forward")
def test_dropout_acts_on_what_each_part_adds(rng):
    block, a = shaken(TransformerBlock(4, 2), rng), rng.normal(size=(2, 3, 4))
    block.drop = Times(3.0)
    x = Tensor(a)
    expect.close("block(x)", block_of(block, a, True, factor=3.0))


@exercise("TransformerBlock.forward")
def test_a_block_that_adds_nothing_is_the_identity(rng):
    block, a = shaken(TransformerBlock(4, 2), rng), rng.normal(size=(2, 3, 4)) * 50
    for part in (block.attn.out_proj, block.mlp.fc2):
        part.weight.assign_(0.0)
        part.bias.assign_(0.0)
    x = Tensor(a)
    expect.close("block(x)", a)


@exercise("TransformerBlock.forward")
def test_block_goes_on_from_a_cache(rng):
    block, a = shaken(TransformerBlock(4, 2, layer=3), rng), rng.normal(size=(2, 4, 4))
    want, cache = block_of(block, a, True), Cache(1)
    first, rest = Tensor(a[:, :3]), Tensor(a[:, 3:])
    expect.close("block(first, None, cache)", want[:, :3])
    expect.close("block(rest, cache=cache)", want[:, 3:])
    expect.equal("list(cache.held)", [3])


@exercise("TransformerBlock.forward")
def test_every_parameter_of_the_block_learns(rng):
    block, x = shaken(TransformerBlock(4, 2), rng), Tensor(rng.normal(size=(2, 3, 4)))
    g = Tensor(rng.normal(size=(2, 3, 4)))
    expect.value("block(x).backward(g)")
    expect.equal("[name for name, p in block.named_parameters() if p.grad is None]", [], block=block)
