"""Language models: their loss, and bits per byte with each byte scored once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytorch import console
from tinytorch.autograd import no_grad
from tinytorch.errors import DataError
from tinytorch.nn.module import Module
from tinytorch.ops.softmax import cross_entropy
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all positions of all sequences, from the logits for the next token and its id.

    logits: (batch, t, vocabulary), targets: (batch, t) ids; the result is one number, in nats.

    >>> round(next_token_loss(Tensor([[[0.0, 0.0], [0.0, 0.0]]]), Tensor([[0, 1]])).item(), 4)
    0.6931
    """
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def sliding_bits(model: Module, text: bytes, context: int, batch_size: int = 16) -> float:
    """Bits per byte of `text`: each byte is predicted once, from at least `context // 2` bytes before it.

    Windows of `context` bytes start every `context // 2`, and all but the first count in their later half
    only. The bytes before which there is less text are predicted from what there is, and the very first,
    which nothing precedes, counts as 8 bits. Raises DataError for text shorter than `context + 1`.
    """
    ids = np.frombuffer(text, np.uint8).astype(np.int64)
    last = len(ids) - 1 - context
    if last < 0:
        raise DataError(
            f"sliding_bits: {len(ids)} bytes are too few for a window of {context} and the next byte"
        )
    starts = [*range(0, last, max(1, context // 2)), last]
    nats, scored = 0.0, 0
    with evaluating(model), no_grad(), console.progress(len(starts), "score text", "windows") as bar:
        for first in range(0, len(starts), batch_size):
            some = starts[first : first + batch_size]
            for start, losses in zip(some, _losses(model, ids, some, context), strict=True):
                fresh = start + context - scored
                nats += float(losses[context - fresh :].sum())
                scored += fresh
            bar.update(first + len(some))
    return (nats / math.log(2) + 8) / len(ids)


def _losses(model: Module, ids: Array, starts: Sequence[int], context: int) -> Array:
    """Cross-entropy in nats of the byte after each position, float64; shape (windows, context)."""
    rows = ids[np.array(starts)[:, None] + np.arange(context + 1)]
    logits = model(Tensor(rows[:, :-1]))
    targets = Tensor(rows[:, 1:].reshape(-1))
    losses = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets, reduction="none")
    return losses.data.astype(np.float64).reshape(len(starts), context)
