"""Bits per byte of a text: each byte once, with enough before it, against a model whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.errors import DataError
from tinytorch.nn import Dropout, Module
from tinytorch.tensor import Tensor
from tinytorch.training import BitsPerByte, evaluate, next_token_loss, sliding_bits


class Counting(Module):
    """Sure of the byte after each to the degree that it has seen bytes before: 2 ** -(position + 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = Dropout(0.5)

    def forward(self, ids: Tensor) -> Tensor:
        x = ids.data
        logits = np.zeros((*x.shape, 256), np.float64)
        for t in range(x.shape[1]):
            p = 2.0 ** -(t + 1)
            logits[:, t] = math.log((1 - p) / 255)
            np.put_along_axis(logits[:, t], (x[:, t, None] + 1) % 256, math.log(p), 1)
        return self.drop(Tensor(logits))


@given(length=st.integers(9, 40), context=st.sampled_from([2, 3, 7, 8]), size=st.integers(1, 5))
def test_each_byte_is_scored_once_by_the_window_that_sees_most(length: int, context: int, size: int) -> None:
    text = bytes(i % 256 for i in range(length))
    found = sliding_bits(Counting(), text, context, size)
    # Byte i costs as many bits as the model has seen bytes before it in the window that counts.
    half, bits, last = max(1, context // 2), 8, length - 1 - context
    starts = [*range(0, last, half), last]
    for i in range(1, length):
        start = next(s for s in starts if s + context >= i)
        seen = i - start
        assert seen >= min(i, half)
        bits += seen
    assert found == pytest.approx(bits / length)


def test_a_text_too_short() -> None:
    with pytest.raises(DataError, match="4 bytes"):
        sliding_bits(Counting(), b"abcd", 4)


def test_the_loss_is_a_mean_over_positions() -> None:
    ids = Tensor(np.arange(8).reshape(2, 4))
    model = Counting().eval()
    nats = next_token_loss(model(ids), ids + 1).item()
    assert nats == pytest.approx(math.log(2) * np.mean([1, 2, 3, 4]))
    figures = evaluate(model, [(ids, ids + 1)], next_token_loss, [BitsPerByte()])
    assert figures["bits_per_byte"] == pytest.approx(2.5)
