"""GGUF files written for tests, as the format defines them; and a tiny Llama with its tokenizer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.text.merges import byte_characters

Array = np.ndarray[Any, Any]
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMS = {
    **{U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i"},
    **{F32: "<f", BOOL: "<?", U64: "<Q", I64: "<q", F64: "<d"},
}
TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q4_K": 12}

# ---------------------------------------------------------------- what is in a file


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: Any) -> bytes:
    """A value without its type; of an array, `content` is (type of its elements, elements)."""
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        inner, elements = content
        head = struct.pack("<IQ", inner, len(elements))
        return head + b"".join(value(inner, element) for element in elements)
    return struct.pack(FORMS[kind], content)


def pair(key: str | bytes, kind: int, content: Any) -> bytes:
    return string(key) + struct.pack("<I", kind) + value(kind, content)


def named(name: str | bytes, shape: Sequence[int], kind: int, offset: int) -> bytes:
    """What the header says about a tensor; `shape` is ours, the slowest axis first."""
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
    return string(name) + axes + struct.pack("<IQ", kind, offset)


def whole(pairs: Sequence[bytes], infos: Sequence[bytes], data: bytes = b"", alignment: int = 32) -> bytes:
    """A file of parts that need not fit each other."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join([*pairs, *infos])
    return head + bytes(-len(head) % alignment) + data


Metadata = Mapping[str, tuple[int, Any]]
Tensors = Mapping[str, tuple[str, Array]]


def write(metadata: Metadata, tensors: Tensors, alignment: int = 32) -> bytes:
    """A file: metadata by key, (type, content), and tensors by name, (name of their type, float32)."""
    data, infos = b"", []
    for name, (kind, array) in tensors.items():
        infos.append(named(name, array.shape, TYPES[kind], len(data)))
        raw = stored(kind, array)
        data += raw + bytes(-len(raw) % alignment)
    return whole([pair(key, *content) for key, content in metadata.items()], infos, data, alignment)


# ---------------------------------------------------------------- how elements are stored


def stored(kind: str, array: Array) -> bytes:
    """The bytes of a tensor."""
    if kind in ("F32", "F16"):
        return array.astype("<f4" if kind == "F32" else "<f2").tobytes()
    size = 256 if kind == "Q4_K" else 32
    return b"".join(QUANTIZERS[kind](block) for block in array.astype(np.float64).reshape(-1, size))


def _nibbles(codes: Array) -> bytes:
    """Element i in the low half of byte i, element i + 16 in its high half."""
    return bytes(int(a) | int(b) << 4 for a, b in zip(codes[:16], codes[16:], strict=True))


def _half(number: float) -> float:
    return float(np.float16(number))


def _codes(block: Array, scale: float, least: float, low: int, high: int) -> Array:
    if scale == 0:
        return np.full(block.shape, max(low, 0))
    return np.clip(np.rint((block - least) / scale), low, high).astype(int)


def q4_0(block: Array) -> bytes:
    scale = _half(np.abs(block).max() / 7)
    return struct.pack("<e", scale) + _nibbles(_codes(block, scale, -8 * scale, 0, 15))


def q4_1(block: Array) -> bytes:
    scale, least = _half((block.max() - block.min()) / 15), _half(block.min())
    return struct.pack("<ee", scale, least) + _nibbles(_codes(block, scale, least, 0, 15))


def q8_0(block: Array) -> bytes:
    scale = _half(np.abs(block).max() / 127)
    return struct.pack("<e32b", scale, *_codes(block, scale, 0.0, -128, 127))


def q4_k(block: Array) -> bytes:
    """Eight blocks of 32: scales and minima in six bits, of which the last four have two bits elsewhere."""
    parts = block.reshape(8, 32)
    minima = np.maximum(0, -parts.min(1))
    scales = (parts.max(1) + minima) / 15
    whole_scale, whole_least = _half(scales.max() / 63), _half(minima.max() / 63)
    s = _codes(scales, whole_scale, 0.0, 0, 63)
    m = _codes(minima, whole_least, 0.0, 0, 63)
    six = bytearray(12)
    for j in range(4):
        six[j] = s[j] | s[j + 4] >> 4 << 6
        six[j + 4] = m[j] | m[j + 4] >> 4 << 6
        six[j + 8] = s[j + 4] & 15 | (m[j + 4] & 15) << 4
    codes = [_codes(p, whole_scale * a, -whole_least * b, 0, 15) for p, a, b in zip(parts, s, m, strict=True)]
    pairs = zip(codes[::2], codes[1::2], strict=True)
    data = bytes(int(a) | int(b) << 4 for low, high in pairs for a, b in zip(low, high, strict=True))
    return struct.pack("<ee", whole_scale, whole_least) + bytes(six) + data


QUANTIZERS: Mapping[str, Callable[[Array], bytes]] = {
    "Q4_0": q4_0,
    "Q4_1": q4_1,
    "Q8_0": q8_0,
    "Q4_K": q4_k,
}

# ---------------------------------------------------------------- a tiny Llama

MERGES = ["l o", "lo w", "Ġ low", "h e", "t he"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [*byte_characters(), *(merge.replace(" ", "") for merge in MERGES), *SPECIALS]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG = {
    "vocab_size": len(TOKENS),
    "context": 16,
    "width": 64,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "hidden": 96,
    "base": 500.0,
    "eps": 1e-3,
    "tied": True,
}


def llama_metadata(**config: Any) -> dict[str, tuple[int, Any]]:
    """The metadata of a Llama, its tokenizer and its chat template."""
    c = {**CONFIG, **config}
    kinds = [1] * (len(TOKENS) - len(SPECIALS)) + [3] * len(SPECIALS)
    return {
        "general.architecture": (STRING, "llama"),
        "llama.context_length": (U32, c["context"]),
        "llama.embedding_length": (U32, c["width"]),
        "llama.block_count": (U32, c["layers"]),
        "llama.attention.head_count": (U32, c["heads"]),
        "llama.attention.head_count_kv": (U32, c["kv_heads"]),
        "llama.feed_forward_length": (U32, c["hidden"]),
        "llama.rope.freq_base": (F32, c["base"]),
        "llama.attention.layer_norm_rms_epsilon": (F32, c["eps"]),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "smollm"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, TOKENS)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, MERGES)),
        "tokenizer.ggml.eos_token_id": (U32, TOKENS.index("<|im_end|>")),
        "tokenizer.ggml.bos_token_id": (U32, TOKENS.index("<|im_start|>")),
        "tokenizer.chat_template": (STRING, TEMPLATE),
    }


def llama_weights(seed: int = 0, **config: Any) -> dict[str, Array]:
    """Weights of a Llama by their names in GGUF files, large enough that every one of them counts."""
    c = {**CONFIG, **config}
    rng, width, dim = np.random.default_rng(seed), c["width"], c["width"] // c["heads"]

    def matrix(n: int, k: int, scale: float) -> Array:
        return (rng.standard_normal((n, k)) * scale).astype(np.float32)

    def norm() -> Array:
        return rng.uniform(0.5, 1.5, width).astype(np.float32)

    found = {"token_embd.weight": matrix(c["vocab_size"], width, 1.0)}
    for i in range(c["layers"]):
        found |= {
            f"blk.{i}.attn_norm.weight": norm(),
            f"blk.{i}.attn_q.weight": matrix(width, width, 0.2),
            f"blk.{i}.attn_k.weight": matrix(c["kv_heads"] * dim, width, 0.2),
            f"blk.{i}.attn_v.weight": matrix(c["kv_heads"] * dim, width, 0.2),
            f"blk.{i}.attn_output.weight": matrix(width, width, 0.2),
            f"blk.{i}.ffn_norm.weight": norm(),
            f"blk.{i}.ffn_gate.weight": matrix(c["hidden"], width, 0.2),
            f"blk.{i}.ffn_up.weight": matrix(c["hidden"], width, 0.2),
            f"blk.{i}.ffn_down.weight": matrix(width, c["hidden"], 0.2),
        }
    found["output_norm.weight"] = norm()
    if not c["tied"]:
        found["output.weight"] = matrix(c["vocab_size"], width, 0.2)
    return found


def llama_tensors(
    weights: Mapping[str, Array], kind: str = "F32", embedding: str | None = None
) -> dict[str, tuple[str, Array]]:
    """Matrices stored as `kind`, the embedding and the head as `embedding`, norms in float32."""
    other = embedding or kind
    outer = ("token_embd.weight", "output.weight")
    return {
        name: ("F32" if array.ndim == 1 else other if name in outer else kind, array)
        for name, array in weights.items()
    }


def tiny(path: Path, kind: str = "F32", embedding: str | None = None, **config: Any) -> dict[str, Array]:
    """Write a tiny Llama, and return its weights as they were before they were stored."""
    weights = llama_weights(**config)
    path.write_bytes(write(llama_metadata(**config), llama_tensors(weights, kind, embedding)))
    return weights
