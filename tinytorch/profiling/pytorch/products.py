"""What PyTorch's matrix products, convolutions and attention cost: what published figures count.

What a kernel computes a second time to save memory (the scores, in the gradient of attention) is not counted,
as in "model FLOPs": Chowdhery et al., "PaLM: scaling language modeling with pathways", 2022, appendix B.
"""

from __future__ import annotations

import math

from tinytorch.profiling.counting.formulas import NORM, SOFTMAX
from tinytorch.profiling.pytorch.call import Call, Rule, Sized

PRODUCTS: dict[str, Rule] = {}
"""Rules of ops that multiply matrices, by name."""


def _product(a: int, bias: int | None = None) -> Rule:
    """A product with (..., n, k) on its left, argument `a`; argument `bias` is added to it, if given."""
    return Rule(
        products=lambda call: 2 * call.out[0].size * call.args[a].shape[-1],
        others=lambda call: 0 if bias is None or call.arg(bias) is None else call.out[0].size,
    )


def _dot(call: Call) -> int:
    return 2 * int(call.args[0].size)


def _convolution(call: Call) -> int:
    """2 for each weight of the filters of a group and element that they slide over."""
    return _slide(call.args[1], call.out[0], call.args[0], bool(call.arg(6, False)))


def _forward_convolution(call: Call) -> int:
    return _slide(call.args[1], call.out[0], call.args[0], False)


def _slide(weight: Sized, out: Sized, x: Sized, transposed: bool) -> int:
    return 2 * (x if transposed else out).size * math.prod(weight.shape[1:])


def _convolution_backward(call: Call) -> int:
    """As much as forward for each of the two gradients asked for, grouped and depthwise ones included."""
    g, x, weight = call.args[:3]
    mask = call.args[10]
    return (bool(mask[0]) + bool(mask[1])) * _slide(weight, g, x, bool(call.args[7]))


def _bias(call: Call) -> int:
    return 0 if call.arg(2) is None else call.out[0].size


CONVOLUTION = Rule(_convolution, _bias)
PRODUCTS.update(
    {
        "mm": _product(0),
        "bmm": _product(0),
        "mv": _product(0),
        "_int_mm": _product(0),
        "addmm": _product(1, 0),
        "addmv": _product(1, 0),
        "baddbmm": _product(1, 0),
        "_addmm_activation": Rule(
            _product(1).products,
            lambda call: call.out[0].size * (1 + (14 if call.kwargs.get("use_gelu") else 1)),
        ),
        "linear": _product(0, 2),
        "mkldnn_linear": _product(0, 2),
        "dot": Rule(_dot),
        "vdot": Rule(_dot),
        "convolution": CONVOLUTION,
        "_convolution": CONVOLUTION,
        "convolution_overrideable": CONVOLUTION,
        "convolution_backward": Rule(
            _convolution_backward, lambda call: call.args[0].size if call.args[10][2] else 0
        ),
        **dict.fromkeys(
            ("conv1d", "conv2d", "conv3d", "mkldnn_convolution"), Rule(_forward_convolution, _bias)
        ),
    }
)

# ---------------------------------------------------------------- attention, and cells of several products


def _pairs(q: Sized, k: Sized) -> int:
    """Pairs of query and key, in all heads."""
    return math.prod(q.shape[:-1]) * k.shape[-2]


def _attention(call: Call) -> int:
    """Scores and weighted sum, in full: a causal mask changes nothing."""
    q, k, v = call.args[:3]
    return int(2 * _pairs(q, k) * (q.shape[-1] + v.shape[-1]))


def _attention_others(call: Call) -> int:
    return (SOFTMAX + 1) * _pairs(call.args[0], call.args[1])


def _attention_backward(call: Call) -> int:
    """Gradients of weights, values, queries and keys: twice forward."""
    _, q, k, v = call.args[:4]
    return int(4 * _pairs(q, k) * (q.shape[-1] + v.shape[-1]))


def _attention_backward_others(call: Call) -> int:
    return 5 * _pairs(call.args[1], call.args[2])


def _multi_head(query: Sized, key: Sized, width: int, heads: int) -> tuple[int, int]:
    """Products and others of four projections with biases, and the attention between them."""
    batch, t, s = query.shape[0], query.shape[1], key.shape[1]
    products = 2 * batch * width * width * (2 * t + 2 * s) + 4 * batch * t * s * width
    return products, batch * width * (2 * t + 2 * s) + (SOFTMAX + 1) * batch * heads * t * s


def _native_multi_head(call: Call) -> tuple[int, int]:
    return _multi_head(call.args[0], call.args[1], call.args[3], call.args[4])


def _encoder_layer(call: Call) -> tuple[int, int]:
    """Attention, two norms, two sums, and two products with biases and an activation between them."""
    x, width, heads, use_gelu = call.args[0], call.args[1], call.args[2], call.args[7]
    hidden = call.args[14].shape[0]
    products, others = _multi_head(x, x, width, heads)
    rows = x.size // width
    mlp = rows * hidden * (1 + (10 if use_gelu else 1)) + rows * width
    return products + 2 * 2 * rows * width * hidden, others + mlp + 2 * (NORM + 1) * x.size


def _rnn_layer(call: Call) -> int:
    """Products with x: (time, batch, features) and with what went before; weights: (gates * hidden, ...)."""
    steps = math.prod(call.args[0].shape[:2])
    return int(2 * steps * (call.args[1].size + call.args[2].size))


def _rnn_others(call: Call) -> int:
    """Two biases a gate; an LSTM's three sigmoids and two tanh beside four products and a sum."""
    steps, gates = math.prod(call.args[0].shape[:2]), call.args[1].shape[0]
    hidden = call.args[10]
    return int(steps * (2 * gates + (5 * 6 + 4) * hidden))


ATTENTION = Rule(_attention, _attention_others)
ATTENTION_BACKWARD = Rule(_attention_backward, _attention_backward_others)
SCALED = "_scaled_dot_product_"
PRODUCTS.update(
    {
        "scaled_dot_product_attention": ATTENTION,
        **dict.fromkeys(
            (
                f"{SCALED}flash_attention_for_cpu",
                f"{SCALED}flash_attention",
                f"{SCALED}efficient_attention",
                f"{SCALED}cudnn_attention",
                f"{SCALED}fused_attention_overrideable",
            ),
            ATTENTION,
        ),
        **dict.fromkeys(
            (
                f"{SCALED}flash_attention_for_cpu_backward",
                f"{SCALED}flash_attention_backward",
                f"{SCALED}efficient_attention_backward",
                f"{SCALED}cudnn_attention_backward",
                f"{SCALED}fused_attention_overrideable_backward",
            ),
            ATTENTION_BACKWARD,
        ),
        "_native_multi_head_attention": Rule(
            lambda call: _native_multi_head(call)[0], lambda call: _native_multi_head(call)[1]
        ),
        "_transformer_encoder_layer_fwd": Rule(
            lambda call: _encoder_layer(call)[0], lambda call: _encoder_layer(call)[1]
        ),
        "mkldnn_rnn_layer": Rule(_rnn_layer, _rnn_others),
    }
)
