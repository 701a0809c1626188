"""What PyTorch's ops cost, from shapes alone: rules by the name of the op, in TinyTorch's two conventions.

Free of PyTorch: whoever watches (torch_watch.py) hands over the arguments with a `Sized` for each tensor.
Costs an element are those of docs/conventions.md; gradients not listed there count their products and sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tinytorch.profiling.counting.flops import OpCost
from tinytorch.profiling.counting.formulas import NORM, SOFTMAX
from tinytorch.profiling.pytorch.call import Call, Rule, tensors
from tinytorch.profiling.pytorch.products import PRODUCTS

RULES: dict[str, Rule] = dict(PRODUCTS)


def cost_of_call(name: str, call: Call, is_view: bool = False) -> OpCost:
    """What a call costs; FLOPs of None for an op without a rule. A view moves nothing.

    >>> from tinytorch.profiling.pytorch.call import Sized
    >>> cost_of_call("mm", Call((Sized((2, 4)),), (Sized((2, 3)), Sized((3, 4))), {}))
    OpCost(flops=48, matmul_flops=48, bytes=104)
    >>> cost_of_call("fft", Call((Sized((2,)),), (Sized((2,)),), {})).flops is None
    True
    """
    if is_view:
        return OpCost(0, 0, 0)
    rule = rule_of(name)
    if rule is None:
        return OpCost(None, 0, call.read + call.written)
    products = rule.products(call)
    return OpCost(products + rule.others(call), products, rule.moved(call))


def rule_of(name: str) -> Rule | None:
    """The rule of an op; one in place (`add_`) has that of the op without the underscore.

    >>> rule_of("add_") is rule_of("add"), rule_of("fft")
    (True, None)
    """
    return RULES.get(name) or RULES.get(name.removesuffix("_"))


# ---------------------------------------------------------------- a fixed cost an element


def _each(cost: int) -> Callable[[Call], int]:
    """So many FLOPs an element of the first result."""
    return lambda call: cost * call.out[0].size


def _input(cost: int) -> Callable[[Call], int]:
    """So many FLOPs an element of the first argument."""
    return lambda call: cost * call.args[0].size


RESULT_COSTS = {
    1: """add sub rsub mul div neg abs sqrt square reciprocal sign floor ceil round trunc floor_divide
        remainder fmod maximum minimum clamp_min clamp_max relu threshold threshold_backward eq ne lt le gt ge
        isnan isinf isfinite logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not
        bitwise_xor native_dropout_backward""",
    2: "pow rsqrt clamp hardtanh leaky_relu leaky_relu_backward _prelu_kernel addcmul addcdiv native_dropout",
    3: "lerp tanh_backward sigmoid_backward hardtanh_backward hardsigmoid_backward mse_loss_backward",
    4: "exp exp2 expm1 log log2 log10 log1p hardsigmoid _softmax_backward_data",
    5: "elu hardswish silu_backward",
    6: "tanh sigmoid erf erfc sin cos tan hardswish_backward",
    7: "silu _log_softmax_backward_data",
    SOFTMAX: "_softmax _log_softmax _safe_softmax _masked_softmax",
}
"""By FLOPs an element of the result."""

INPUT_COSTS = {
    1: """sum mean prod amax amin max min argmax argmin all any cumsum count_nonzero _adaptive_avg_pool2d
        embedding_dense_backward""",
    2: "norm linalg_vector_norm",
    3: "mse_loss",
    4: "var std var_mean std_mean",
    6: "logsumexp",
    NORM: "native_layer_norm native_group_norm _fused_rms_norm",
    2 * NORM: """native_layer_norm_backward native_group_norm_backward native_batch_norm_backward
        _fused_rms_norm_backward""",
}
"""By FLOPs an element of the first argument."""

MOVES = """clone copy_ cat stack _to_copy where masked_fill constant_pad_nd roll flip repeat tril triu
    slice_backward select_backward unfold_backward view_copy permute_copy expand_copy slice_scatter
    select_scatter masked_scatter split_with_sizes_copy _local_scalar_dense pixel_shuffle pixel_unshuffle
    reflection_pad2d replication_pad2d"""
"""No FLOPs; every tensor is read and written once."""

FILLS = """zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full fill_ zero_ arange
    linspace scalar_tensor rand randn randint rand_like randn_like randint_like randperm bernoulli bernoulli_
    normal_ uniform_ random_ exponential_ eye"""
"""No FLOPs; results are written and nothing is read."""

PICKS = "embedding index_select gather index take take_along_dim masked_select"
"""No FLOPs; ids are read, and what is picked is read and written, whatever there is to pick from."""

NOTHING = """empty empty_like empty_strided new_empty new_empty_strided empty_permuted _unsafe_view view t
    transpose permute expand slice select unsqueeze squeeze split split_with_sizes unbind detach alias
    as_strided unfold diagonal _reshape_alias lift_fresh is_same_size sym_size sym_stride sym_numel
    sym_storage_offset device"""
"""No FLOPs and no bytes: views, memory that nobody wrote yet, and questions about a tensor."""


def _picked(call: Call) -> int:
    """Bytes of all arguments but the first, which is picked from, and twice those of the result."""
    return sum(t.nbytes for t in tensors((*call.args[1:], *call.kwargs.values()))) + 2 * call.out[0].nbytes


def _put(call: Call) -> int:
    return int(call.args[2].size) if call.arg(3, False) else 0


def _put_moved(call: Call) -> int:
    """Bytes of the ids, and twice those of the values put, whatever there is to put them into."""
    return sum(t.nbytes for t in tensors(call.args[1])) + 2 * int(call.args[2].nbytes)


def _fill_tables() -> None:
    for cost, names in RESULT_COSTS.items():
        RULES.update(dict.fromkeys(names.split(), Rule(others=_each(cost))))
    for cost, names in INPUT_COSTS.items():
        RULES.update(dict.fromkeys(names.split(), Rule(others=_input(cost))))
    RULES.update(dict.fromkeys(MOVES.split(), Rule()))
    RULES.update(dict.fromkeys(FILLS.split(), Rule(moved=lambda call: call.written)))
    RULES.update(dict.fromkeys(PICKS.split(), Rule(moved=_picked)))
    RULES.update(dict.fromkeys(NOTHING.split(), Rule(moved=lambda call: 0)))
    RULES["copy_"] = Rule(moved=lambda call: call.args[1].nbytes + call.args[0].nbytes)
    RULES.update(dict.fromkeys(("index_add", "scatter_add"), Rule(others=lambda call: call.args[3].size)))
    RULES.update(dict.fromkeys(("index_put", "_index_put_impl"), Rule(others=_put, moved=_put_moved)))
    RULES["nll_loss_forward"] = Rule(others=lambda call: call.args[1].size)
    RULES["nll_loss_backward"] = Rule(others=lambda call: call.args[2].size)


# ---------------------------------------------------------------- normalisation, pooling, activations


def _batch_norm(training: int | None) -> Callable[[Call], int]:
    """8 an element from the batch's own statistics; 2, and 6 a channel, from running ones."""

    def others(call: Call) -> int:
        x = call.args[0]
        channels = x.shape[1]
        own = training is None or bool(call.arg(training))
        return int(NORM * x.size if own else 2 * x.size + 6 * channels)

    return others


def _window(call: Call) -> int:
    kernel = call.args[1]
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    return int(math.prod(sides if len(sides) > 1 else (*sides, *sides)))


def _window_backward(call: Call) -> int:
    kernel = call.args[2]
    return int(call.args[0].size * math.prod(kernel if len(kernel) > 1 else (*kernel, *kernel)))


def _gelu(backward: bool) -> Callable[[Call], int]:
    tanh, erf = (9, 10) if backward else (14, 10)
    return lambda call: call.out[0].size * (tanh if call.kwargs.get("approximate") == "tanh" else erf)


RULES.update(
    {
        "native_batch_norm": Rule(others=_batch_norm(5)),
        "_native_batch_norm_legit": Rule(others=_batch_norm(5)),
        "_native_batch_norm_legit_no_training": Rule(
            others=lambda call: 2 * call.args[0].size + 6 * call.args[0].shape[1]
        ),
        "cudnn_batch_norm": Rule(others=_batch_norm(5)),
        "_batch_norm_with_update": Rule(others=_batch_norm(None)),
        "max_pool2d_with_indices": Rule(others=lambda call: call.out[0].size * _window(call)),
        "mkldnn_max_pool2d": Rule(others=lambda call: call.out[0].size * _window(call)),
        "avg_pool2d": Rule(others=lambda call: call.out[0].size * _window(call)),
        "max_pool2d_with_indices_backward": Rule(others=_input(1)),
        "avg_pool2d_backward": Rule(others=_window_backward),
        "gelu": Rule(others=_gelu(backward=False)),
        "gelu_backward": Rule(others=_gelu(backward=True)),
    }
)

_fill_tables()
