"""The attention op: its result, its work, its gradient."""

import numpy as np
import pytest
from helpers import attend, differences, weights_of

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.attention import Attention, AttentionGrad, attention
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor


def three(rng, t, s, d, e, dtype=np.float64):
    shapes = (2, 3, t, d), (2, 3, s, d), (2, 3, s, e)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


# ---------------------------------------------------------------- forward


@exercise("Attention.forward")
@pytest.mark.parametrize(("t", "s", "d", "e"), [(3, 5, 4, 2), (4, 4, 2, 6), (5, 2, 3, 3), (1, 6, 2, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_result_and_weights(rng, t, s, d, e, causal):
    q, k, v = three(rng, t, s, d, e)
    want = attend(q, k, v, 0.4, causal), weights_of(q, k, 0.4, causal)
    expect.close("Attention(causal, 0.4).forward(q, k, v)", want)


@exercise("Attention.forward")
@pytest.mark.parametrize("causal", [False, True])
def test_mask_is_heeded(rng, causal):
    q, k, v = three(rng, 4, 5, 3, 2)
    mask = rng.random((2, 1, 4, 5)) < 0.5
    want = attend(q, k, v, 0.9, causal, mask), weights_of(q, k, 0.9, causal, mask)
    expect.close("Attention(causal, 0.9).forward(q, k, v, mask)", want)


@exercise("Attention.forward")
def test_forward_keeps_dtype_and_inputs(rng):
    q, k, v = three(rng, 3, 4, 2, 5, np.float32)
    before = q.copy(), k.copy(), v.copy()
    expect.close(
        "Attention(True, 0.5).forward(q, k, v)[0]", attend(q, k, v, 0.5, True), 1e-4, 1e-5, np.float32
    )
    expect.true("Attention(True, 0.5).forward(q, k, v)[1].dtype == np.float32", "the weights are float32")
    for name, was in zip(["q", "k", "v"], before, strict=True):
        expect.equal(name, was)


@exercise("Attention.forward")
def test_nothing_to_attend_to(rng):
    q, k, v = three(rng, 3, 0, 2, 4)
    expect.close("Attention(False, 0.5).forward(q, k, v)[0]", np.zeros((2, 3, 3, 4)))
    q, k, v = three(rng, 0, 3, 2, 4)
    expect.close("Attention(True, 0.5).forward(q, k, v)[0]", np.zeros((2, 3, 0, 4)))


@exercise("Attention.forward")
def test_as_part_of_the_framework(rng):
    q, k, v = (Tensor(a) for a in three(rng, 3, 5, 4, 2))
    expect.close("attention(q, k, v, causal=True)", attend(q.data, k.data, v.data, 0.5, True))


# ---------------------------------------------------------------- work


@exercise("Attention.matmul_flops")
def test_flops_of_both_products():
    f = np.dtype(np.float32)
    q, k, v = Spec((2, 3, 4, 6), f), Spec((2, 3, 5, 6), f), Spec((2, 3, 5, 7), f)
    out = Spec((2, 3, 4, 7), f), Spec((2, 3, 4, 5), f)
    multiply_adds = 0
    for _ in np.ndindex(2, 3, 4, 5):
        multiply_adds += 6 + 7  # a score takes 6; its value is added to 7 sums
    expect.equal("Attention(False, 0.5).matmul_flops(out, q, k, v)", 2 * multiply_adds)
    mask = Spec((4, 5), np.dtype(bool))
    expect.equal("Attention(True, 0.5).matmul_flops(out, q, k, v, mask)", 2 * multiply_adds)


@exercise("Attention.matmul_flops")
def test_twice_the_length_is_four_times_the_work():
    f = np.dtype(np.float32)

    def work(t):
        x = Spec((1, 12, t, 64), f)
        return Attention(True, 0.125).matmul_flops((x, Spec((1, 12, t, t), f)), x, x, x)

    expect.equal("work(1024)", 4 * 1024 * 1024 * 768)  # 4 t^2 width, as for a layer of GPT-2
    expect.equal("work(2048)", 4 * 4 * 1024 * 1024 * 768)


# ---------------------------------------------------------------- gradient


@exercise("AttentionGrad.forward")
@pytest.mark.parametrize(("t", "s", "d", "e"), [(2, 3, 2, 4), (3, 2, 3, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_against_differences(rng, t, s, d, e, causal):
    q, k, v = three(rng, t, s, d, e)
    g = rng.normal(size=(2, 3, t, e))
    p = weights_of(q, k, 0.6, causal)
    want = differences(lambda *x: attend(*x, 0.6, causal), [q, k, v], g)
    expect.close("AttentionGrad(0.6, causal).forward(g, q, k, v, p)", want, 1e-4, 1e-6)


@exercise("AttentionGrad.forward")
def test_gradient_of_a_query_that_sees_nothing_is_zero(rng):
    q, k, v = three(rng, 2, 3, 2, 2)
    g = rng.normal(size=(2, 3, 2, 2))
    mask = np.array([[True, False, True], [False, False, False]])
    p = weights_of(q, k, 0.6, False, mask)
    want = differences(lambda *x: attend(*x, 0.6, False, mask), [q, k, v], g)
    expect.close("AttentionGrad(0.6).forward(g, q, k, v, p)", want, 1e-4, 1e-6)
    expect.close("AttentionGrad(0.6).forward(g, q, k, v, p)[0][:, :, 1]", np.zeros((2, 3, 2)))


@exercise("AttentionGrad.forward")
def test_gradients_keep_dtype_and_inputs(rng):
    q, k, v = three(rng, 3, 4, 2, 5, np.float32)
    g = rng.normal(size=(2, 3, 3, 5)).astype(np.float32)
    p = weights_of(q, k, 0.5).astype(np.float32)
    before = tuple(a.copy() for a in (g, q, k, v, p))
    kinds = "[a.dtype.name for a in AttentionGrad(0.5).forward(g, q, k, v, p)]"
    expect.equal(kinds, ["float32", "float32", "float32"])
    for name, was in zip(["g", "q", "k", "v", "p"], before, strict=True):
        expect.equal(name, was)


@exercise("Attention.forward", "AttentionGrad.forward")
@pytest.mark.parametrize("causal", [False, True])
def test_the_op_and_its_gradient_agree(rng, causal):
    q, k, v = three(rng, 3, 2, 2, 3)
    q, k, v = q[:1, :1], k[:1, :1], v[:1, :1]
    expect.gradient("Attention(causal, 0.8)", q, k, v)


@exercise("AttentionGrad.forward")
def test_gradients_reach_tensors(rng):
    q, k, v = (Tensor(a, requires_grad=True) for a in three(rng, 2, 3, 4, 2))
    g = rng.normal(size=(2, 3, 2, 2))
    want = differences(lambda *x: attend(*x, 0.5, True), [q.numpy(), k.numpy(), v.numpy()], g)
    expect.value("attention(q, k, v, causal=True).backward(Tensor(g))")
    expect.close("q.grad", want[0], 1e-4)
    expect.close("k.grad", want[1], 1e-4)
    expect.close("v.grad", want[2], 1e-4)
