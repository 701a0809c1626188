"""How each sample of test data came out, in few letters: what two entries are compared by in pairs."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from tinytorch.errors import BenchmarkError
from tinytorch.ops.spec import Array


def packed(qualities: Array) -> str:
    """Ones and zeros as bits, anything else in float16; behind a letter that says which, in base64.

    >>> packed(np.array([1.0, 0.0, 1.0])), packed(np.array([1.5]))
    ('b3:oA==', 'f1:AD4=')
    """
    values = np.asarray(qualities, np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        kind, content = "b", np.packbits(values.astype(np.uint8)).tobytes()
    else:
        kind, content = "f", values.astype("<f2").tobytes()
    return f"{kind}{len(values)}:{base64.b64encode(content).decode()}"


def unpacked(text: str) -> Array:
    """What `packed` packed, float64 (samples,); raises BenchmarkError for other text.

    >>> unpacked("b3:oA==").tolist()
    [1.0, 0.0, 1.0]
    """
    head, _, body = text.partition(":")
    try:
        count, content = int(head[1:]), base64.b64decode(body, validate=True)
        if head[0] == "b" and len(content) == -(-count // 8):
            return np.unpackbits(np.frombuffer(content, np.uint8), count=count).astype(np.float64)
        if head[0] == "f" and len(content) == 2 * count:
            return np.frombuffer(content, "<f2").astype(np.float64)
    except (ValueError, IndexError, binascii.Error):
        pass
    raise BenchmarkError(f"outcomes {text[:20]!r}: not those of samples")
