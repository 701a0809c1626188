"""Small language models with weights that make attention and logits uneven, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch import no_grad
from tinytorch.caching import KVCache
from tinytorch.models import GPT
from tinytorch.models.llama import Llama
from tinytorch.nn import Module
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy


def lively(model: Any, seed: int) -> Any:
    """The model with random weights of about unit gain: its first values would give nearly equal logits."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            scale = 1.5 / np.sqrt(parameter.shape[1])
            parameter.assign_((rng.standard_normal(parameter.shape) * scale).astype(np.float32))
    return model.eval()


def gpt(seed: int = 0, **settings: Any) -> GPT:
    """A GPT of two layers; settings override."""
    sizes = {"vocab_size": 40, "context": 96, "width": 16, "layers": 2, "heads": 2}
    return lively(GPT(**{**sizes, **settings}), seed)  # type: ignore[no-any-return]


def llama(seed: int = 0, **settings: Any) -> Llama:
    """A Llama of two layers in which two heads of queries share each head of keys; settings override."""
    sizes = {"vocab_size": 40, "context": 96, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2}
    return lively(Llama(**{**sizes, "hidden": 48, **settings}), seed)  # type: ignore[no-any-return]


MODELS = {"gpt": gpt, "llama": llama}


def logits_of(model: Module, ids: Sequence[int] | Array) -> Array:
    """Logits of all tokens of a text, (t, vocab), in one pass without a cache."""
    with no_grad():
        return model(from_numpy(np.asarray(ids, np.int64)[None])).numpy()[0]  # type: ignore[no-any-return]


def text(seed: int, count: int, vocab: int = 40) -> list[int]:
    """Random ids."""
    return np.random.default_rng(seed).integers(0, vocab, count).tolist()  # type: ignore[no-any-return]


def close(found: Array, expected: Array, tolerance: float = 1e-5) -> None:
    """Assert equal shapes, and values within the tolerance of the largest."""
    assert found.shape == expected.shape
    worst = np.abs(found.astype(np.float64) - expected).max(initial=0)
    assert worst <= tolerance * max(1.0, np.abs(expected).max(initial=0)), worst


def state_of(cache: KVCache) -> dict[str, Any]:
    """All that a refused call must leave as it was."""
    pool = cache.pool
    arrays = [t.numpy().tobytes() for layer in range(pool.layers) for t in pool.tensors(layer)]
    return {
        "lengths": cache.lengths.tolist(),
        "dropped": cache.dropped.tolist(),
        "pages": [cache.table[b, : len(row)].tolist() for b, row in enumerate(cache._rows)],
        "rows": [list(row) for row in cache._rows],
        "users": pool.users.tolist(),
        "free": pool.free,
        "memory": arrays,
    }
