"""Costs of PyTorch's ops from shapes, against the closed formulas of layers and counts made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.profiling.counting.flops import OpCost
from tinytorch.profiling.counting.formulas import Formulas
from tinytorch.profiling.pytorch.call import Call, Sized, tensors
from tinytorch.profiling.pytorch.rules import RULES, cost_of_call, rule_of

sizes = st.integers(1, 6)


def cost(name: str, out: Any, *args: Any, **kwargs: Any) -> OpCost:
    """The cost of a call; tuples that stand for tensors are given as T(...)."""
    return cost_of_call(name, Call(tuple(tensors((out,))), args, kwargs))


def T(*shape: int, itemsize: int = 4) -> Sized:
    return Sized(shape, itemsize)


# ---------------------------------------------------------------- products


@given(n=sizes, k=sizes, m=sizes)
def test_linear_layers_count_as_the_formula_has_it(n: int, k: int, m: int) -> None:
    for bias in (True, False):
        expected, all_ = (Formulas(c).count_linear(k, m, n, bias) for c in ("matmul", "all"))
        b = T(m) if bias else None
        linear = cost("linear", T(n, m), T(n, k), T(m, k), *((b,) if bias else ()))
        assert linear == OpCost(int(all_), int(expected), all_.bytes)
        mm = cost("addmm", T(n, m), b, T(n, k), T(k, m)) if bias else cost("mm", T(n, m), T(n, k), T(k, m))
        assert mm == linear


def test_products_of_batches_and_vectors() -> None:
    assert cost("bmm", T(3, 2, 5), T(3, 2, 4), T(3, 4, 5)).flops == 2 * 3 * 2 * 4 * 5
    assert cost("baddbmm", T(3, 2, 5), T(3, 2, 5), T(3, 2, 4), T(3, 4, 5)).flops == 240 + 30
    assert cost("mv", T(2), T(2, 7), T(7)).flops == 28
    assert cost("dot", T(), T(7), T(7)).flops == 14
    fused = cost("_addmm_activation", T(2, 3), T(3), T(2, 4), T(4, 3), use_gelu=True)
    assert (fused.matmul_flops, fused.flops) == (48, 48 + 6 + 14 * 6)


@given(
    batch=sizes,
    groups=st.integers(1, 3),
    ins=sizes,
    outs=sizes,
    kernel=st.integers(1, 3),
    side=st.integers(3, 7),
)
def test_convolutions_count_as_the_formula_has_it(
    batch: int, groups: int, ins: int, outs: int, kernel: int, side: int
) -> None:
    ins, outs = ins * groups, outs * groups
    expected = Formulas("all").count_conv2d(ins, outs, kernel, side, batch, groups=groups)
    to = side - kernel + 1
    x, w, b, out = (
        T(batch, ins, side, side),
        T(outs, ins // groups, kernel, kernel),
        T(outs),
        T(batch, outs, to, to),
    )
    found = cost("convolution", out, x, w, b, [1, 1], [0, 0], [1, 1], False, [0, 0], groups)
    assert found == OpCost(int(expected), 2 * expected.macs, expected.bytes)
    assert cost("conv2d", out, x, w, b, [1, 1], [0, 0], [1, 1], groups) == found
    for mask, times in (((True, True, True), 2), ((False, True, False), 1), ((False, False, True), 0)):
        rest = ([outs], [1, 1], [0, 0], [1, 1], False, [0, 0], groups, list(mask))
        back = cost("convolution_backward", (x, w, b), out, x, w, *rest)
        assert back.matmul_flops == times * found.matmul_flops
        assert back.flops == back.matmul_flops + (out.size if mask[2] else 0)


def test_a_depthwise_gradient_costs_as_much_as_forward() -> None:
    x, w, g = T(1, 32, 8, 8), T(32, 1, 3, 3), T(1, 32, 8, 8)
    rest = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 32, [True, True, False])
    forward = 2 * 32 * 8 * 8 * 9
    assert cost("convolution_backward", (x, w), g, x, w, *rest).matmul_flops == 2 * forward


def test_a_transposed_convolution_slides_over_its_input() -> None:
    x, w = T(2, 4, 5, 5), T(4, 3, 2, 2)
    found = cost("convolution", T(2, 3, 10, 10), x, w, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1)
    assert found.flops == 2 * (2 * 4 * 5 * 5) * (3 * 2 * 2)


# ---------------------------------------------------------------- attention


ATTENTION = [name for name in RULES if "attention" in name and not name.startswith("_native")]


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_counts_all_pairs_and_twice_that_for_gradients(name: str) -> None:
    b, heads, t, s, d = 2, 3, 5, 7, 4
    q, k = T(b, heads, t, d), T(b, heads, s, d)
    formula = Formulas("all").count_attention(t, heads * d, heads, b, kv_len=s, projections=False)
    if name.endswith("_backward"):
        found = cost(name, (q, k, k), q, q, k, k, q, T(b, heads, t), 0.0, True)
        assert found.matmul_flops == 2 * 2 * formula.macs
        assert found.flops == found.matmul_flops + 5 * b * heads * t * s
    else:
        found = cost(name, (q, T(b, heads, t)), q, k, k, 0.0, True)
        assert (found.flops, found.matmul_flops) == (int(formula), 2 * formula.macs)


def test_queries_may_have_more_heads_than_keys() -> None:
    found = cost("scaled_dot_product_attention", T(1, 8, 5, 4), T(1, 8, 5, 4), T(1, 2, 6, 4), T(1, 2, 6, 4))
    assert found.matmul_flops == 2 * 8 * 5 * 6 * (4 + 4)


def test_the_fast_path_of_attention_counts_as_its_parts() -> None:
    width, heads, batch, t = 16, 4, 3, 5
    x, w = T(batch, t, width), T(3 * width, width)
    expected = Formulas("all").count_attention(t, width, heads, batch)
    found = cost(
        "_native_multi_head_attention",
        (x, T()),
        *(x, x, x, width, heads, w, T(3 * width), T(width, width), T(width)),
    )
    assert (found.flops, found.matmul_flops) == (int(expected), 2 * expected.macs)


@pytest.mark.parametrize(("use_gelu", "activation"), [(True, "gelu"), (False, "relu")])
def test_the_fast_path_of_an_encoder_layer_counts_as_its_parts(use_gelu: bool, activation: str) -> None:
    width, heads, batch, t, hidden = 16, 4, 3, 5, 24
    x, rows, of = T(batch, t, width), 3 * 5, Formulas("all")
    parts = [
        of.count_attention(t, width, heads, batch),
        of.count_linear(width, hidden, rows),
        of.count_activation(activation, (rows, hidden)),
        of.count_linear(hidden, width, rows),
        *2 * [of.count_layer_norm((rows, width))],
    ]
    norm, bias = (T(width), T(width)), T(width)
    found = cost(
        "_transformer_encoder_layer_fwd",
        x,
        *(x, width, heads, T(3 * width, width), T(3 * width), T(width, width), bias, use_gelu, False, 1e-5),
        *(*norm, *norm, T(hidden, width), T(hidden), T(width, hidden), bias),
    )
    assert found.flops == sum(parts) + 2 * x.size  # and two sums with what came in
    assert found.matmul_flops == 2 * sum(part.macs for part in parts)


def test_an_lstm_layer_counts_the_products_of_each_step() -> None:
    time, batch, features, hidden = 6, 2, 5, 3
    args = (T(4 * hidden, features), T(4 * hidden, hidden), T(4 * hidden), T(4 * hidden))
    state = (T(batch, hidden), T(batch, hidden))
    rest = (False, [], 2, hidden, 1, True, False, False, True)
    found = cost("mkldnn_rnn_layer", T(time, batch, hidden), T(time, batch, features), *args, *state, *rest)
    assert found.matmul_flops == time * 2 * batch * 4 * hidden * (features + hidden)
    cell = batch * hidden * (4 * 2 + 3 * 6 + 2 * 6 + 4)  # biases; sigmoids; tanh; products and a sum
    assert found.flops == found.matmul_flops + time * cell


# ---------------------------------------------------------------- all others


@pytest.mark.parametrize(
    ("name", "flops_an_element"),
    [("relu", 1), ("add", 1), ("pow", 2), ("exp", 4), ("tanh", 6), ("erf", 6), ("_softmax", 8), ("where", 0)],
)
def test_costs_an_element_are_those_of_the_conventions(name: str, flops_an_element: int) -> None:
    assert cost(name, T(3, 4), T(3, 4)) == OpCost(12 * flops_an_element, 0, 96)


def test_reductions_count_what_goes_in() -> None:
    assert cost("sum", T(), T(3, 4)).flops == cost("mean", T(3), T(3, 4), [1]).flops == 12
    assert cost("native_layer_norm", (T(3, 4), T(3), T(3)), T(3, 4), [4], T(4), T(4), 1e-5).flops == 96
    grad = cost(
        "native_layer_norm_backward", (T(3, 4), T(4), T(4)), T(3, 4), T(3, 4), [4], T(3), T(3), T(4), T(4)
    )
    assert grad.flops == 192


def test_activations_know_their_form() -> None:
    x, of = T(3, 4), Formulas("all")
    assert cost("gelu", x, x, approximate="tanh").flops == of.count_gelu((3, 4), "tanh")
    assert cost("gelu", x, x).flops == of.count_gelu((3, 4))
    assert cost("silu", x, x).flops == of.count_activation("silu", (3, 4))
    assert cost("gelu_backward", x, x, x, approximate="tanh").flops == 9 * 12
    assert (
        cost("gelu_backward", x, x, x).flops == (2 + 4 + 4) * 12
    )  # g (cdf + c x exp(-x x / 2)), cdf from before


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_counts_as_the_formula_has_it(training: bool) -> None:
    shape = (2, 3, 4, 4)
    x, c = T(*shape), T(3)
    expected = Formulas("all").count_batch_norm(shape, training)
    found = cost("native_batch_norm", (x, c, c), x, c, c, c, c, training, 0.1, 1e-5)
    assert (
        found.flops
        == cost("cudnn_batch_norm", (x, c, c), x, c, c, c, c, training, 0.1, 1e-5).flops
        == expected
    )
    assert cost("_native_batch_norm_legit_no_training", (x, c, c), x, c, c, c, c, 0.1, 1e-5).flops == int(
        Formulas("all").count_batch_norm(shape)
    )
    assert cost("_batch_norm_with_update", (x, c, c), x, c, c, c, c, 0.1, 1e-5).flops == 8 * x.size


def test_pooling_counts_each_element_of_a_window() -> None:
    x, out = T(1, 2, 6, 6), T(1, 2, 3, 3)
    expected = Formulas("all").count_pool2d((1, 2, 6, 6), 2)
    assert cost("max_pool2d_with_indices", (out, T(1, 2, 3, 3, itemsize=8)), x, [2, 2]).flops == expected
    assert cost("avg_pool2d", out, x, [2]).flops == cost("avg_pool2d", out, x, 2).flops == expected
    assert cost("max_pool2d_with_indices_backward", x, out, x, [2, 2]).flops == out.size
    assert (
        cost("avg_pool2d_backward", x, out, x, [2, 2]).flops
        == cost("avg_pool2d_backward", x, out, x, [2]).flops
    )
    assert cost("avg_pool2d_backward", x, out, x, [2]).flops == 4 * out.size


def test_losses_count_what_they_pick() -> None:
    logits, labels = T(5, 7), T(5, itemsize=8)
    assert cost("nll_loss_forward", (T(), T()), logits, labels, None, 1, -100).flops == 5
    assert cost("nll_loss_backward", logits, T(), logits, labels, None, 1, -100, T()).flops == 5


# ---------------------------------------------------------------- bytes


def test_views_move_nothing_and_copies_move_all() -> None:
    x = T(3, 4)
    assert cost_of_call("anything", Call((x,), (x,), {}), is_view=True) == OpCost(0, 0, 0)
    assert cost("view", x, x, [12]) == cost("empty", x, [12]) == OpCost(0, 0, 0)
    assert cost("clone", x, x) == OpCost(0, 0, 96)
    assert cost("copy_", x, x, x) == OpCost(0, 0, 96)
    assert cost("zeros", x, [3, 4]) == cost("fill_", x, x, 0.0) == OpCost(0, 0, 48)
    assert cost("cat", T(6, 4), [x, x]) == OpCost(0, 0, 192)


def test_picks_read_what_is_picked() -> None:
    table, ids = T(1000, 4), T(5, itemsize=8)
    assert cost("embedding", T(5, 4), table, ids) == OpCost(0, 0, Formulas("all").count_embedding(5, 4).bytes)
    assert cost("index", T(5, 4), table, [None, ids]) == OpCost(0, 0, 40 + 160)
    assert cost("index_put_", table, table, [ids], T(5, 4), True) == OpCost(20, 0, 40 + 160)
    assert cost("index_put", table, table, [ids], T(5, 4)).flops == 0
    assert cost("scatter_add", table, table, 0, ids, T(5, 4)).flops == 20
    assert cost("embedding_dense_backward", table, T(5, 4), ids, 1000, -1, False).flops == 20


def test_a_result_that_is_handed_in_is_not_read() -> None:
    x = T(3, 4)
    assert cost_of_call("add", Call((x,), (x, x), {"out": x})) == OpCost(12, 0, 144)
    assert cost("add_", x, x, x) == OpCost(12, 0, 144)


def test_an_op_without_a_rule_is_uncounted_and_its_bytes_are_known() -> None:
    assert cost("sort", (T(3), T(3, itemsize=8)), T(3)) == OpCost(None, 0, 12 + 12 + 24)
    assert rule_of("sort") is None


def test_every_op_has_one_rule() -> None:
    from tinytorch.profiling.pytorch import rules as torch_rules

    tables = [torch_rules.MOVES, torch_rules.FILLS, torch_rules.PICKS, torch_rules.NOTHING]
    tables += [*torch_rules.RESULT_COSTS.values(), *torch_rules.INPUT_COSTS.values()]
    names = " ".join(tables).split()
    assert len(names) == len(set(names))
