"""Llama models out of files: GGUF, whose blocks of codes stay as they are, and safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.errors import ModelFileError, ShapeError
from tinytorch.models.blocks import BlockEmbedding, BlockLinearLayer
from tinytorch.models.gguf import GGUF, TensorInfo
from tinytorch.models.gguf_types import Blocked
from tinytorch.models.llama import Llama
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.context import grad_mode, meta
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy

LARGEST = 1 << 20
"""A layer's width, a vocabulary, a context: more than this is no model that fits here."""
_GGUF = {
    "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k",
    "attn.v_proj": "attn_v",
    "attn.out_proj": "attn_output",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
    "norm1": "attn_norm",
    "norm2": "ffn_norm",
}
_HUGGING_FACE = {
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.out_proj": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
}


def load_gguf(file: GGUF, expand: bool = False) -> Llama:
    """The Llama model of a GGUF file, in evaluation mode.

    Weights in blocks of four or eight bits stay as they are and are multiplied so; with `expand` they become
    float32, on which training and all tools work. Raises ModelFileError for other architectures, for tensors
    that are missing and for what does not fit together.
    """
    config = _config(file)
    with meta(), grad_mode(False):  # first values would take time and memory
        model = _built(config, file.path)
    _materialise(model)
    modules: dict[str, Any] = dict(model.named_modules())
    for name, tensor in _names(model, "token_embd", "output_norm", "output", "blk.{}.{}", _GGUF):
        info = file.info(f"{tensor}.weight", *modules[name].weight.shape)
        _fill(modules, name, info, file, expand)
    model.eval()
    return model


def _config(file: GGUF) -> dict[str, Any]:
    """The arguments of `Llama` as the metadata give them."""
    architecture = file.get("general.architecture", str)
    if architecture != "llama":
        raise ModelFileError(f"{file.path}: a model of the architecture {architecture[:40]!r}; llama is read")

    def count(key: str, default: int | None = None) -> int:
        found: int = file.get(f"llama.{key}", int, default)
        if not 0 < found <= LARGEST:
            raise ModelFileError(f"{file.path}: llama.{key} is {found}, not in 1 .. {LARGEST:,}")
        return found

    width, heads = count("embedding_length"), count("attention.head_count")
    dim = count("rope.dimension_count", width // heads if width % heads == 0 else 1)
    if dim * heads != width:
        raise ModelFileError(
            f"{file.path}: rotary positions on {dim} features of {width} / {heads}; all are turned"
        )
    for key in ("rope.scaling.type", "rope.scaling.factor", "expert_count"):
        if file.metadata.get(f"llama.{key}") not in (None, "none", 0, 1.0):
            raise ModelFileError(
                f"{file.path}: llama.{key} is {file.metadata[f'llama.{key}']!r}, which is not read"
            )
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelFileError(f"{file.path}: there is no tensor token_embd.weight (vocabulary, width)")
    return {
        "vocab_size": embedding.shape[0],
        "context": count("context_length"),
        "width": width,
        "layers": count("block_count"),
        "heads": heads,
        "kv_heads": count("attention.head_count_kv", heads),
        "hidden": count("feed_forward_length"),
        "base": file.get("llama.rope.freq_base", float, 10000.0),
        "eps": file.get("llama.attention.layer_norm_rms_epsilon", float, 1e-5),
        "tied": "output.weight" not in file.tensors,
    }


def _built(config: Mapping[str, Any], path: Path) -> Llama:
    size = config["layers"] * config["width"] * (config["width"] + config["hidden"])
    if size > 2**34 or config["context"] * config["width"] > 2**32:
        raise ModelFileError(f"{path}: describes a model of some {size:,} weights, more than fit here")
    try:
        return Llama(**config)
    except (ShapeError, OverflowError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _materialise(model: Llama) -> None:
    """Give what the model holds beside its weights values: it was made under `meta`."""
    fresh = Llama(8, model.context, model.width // model.heads, 1, 1, base=model.base)
    block: Any
    for block in model.blocks:
        block.attn.angles = fresh.blocks[0].attn.angles
    model.example_input = from_numpy(np.arange(min(model.context, 128))[None] % model.vocab_size)


def _names(
    model: Llama, embed: str, norm: str, head: str, block: str, inside: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Modules with a weight, and what a kind of file calls them."""
    yield "embed", embed
    for i in range(model.layers):
        yield from ((f"blocks.{i}.{ours}", block.format(i, theirs)) for ours, theirs in inside.items())
    yield "norm", norm
    if not model.tied:
        yield "head", head


def _fill(modules: Mapping[str, Module], name: str, info: TensorInfo, file: GGUF, expand: bool) -> None:
    """Give a module the weight of the file, or put one in its place that holds blocks."""
    module = modules[name]
    if not isinstance(info.type, Blocked) or expand:
        module.__dict__["weight"] = Parameter(from_numpy(file.array(info)))
        return
    kind = BlockEmbedding if name == "embed" else BlockLinearLayer
    if name != "embed" and not isinstance(module, Linear):
        raise ModelFileError(f"{file.path}: {info.name} is stored as {info.type.name}, but belongs to a norm")
    made = kind(info.shape[0], info.type.format, info.type.packed(file.raw(info)))
    path, _, last = name.rpartition(".")
    setattr(modules[path], last, made)


# ---------------------------------------------------------------- safetensors


def load_safetensors(path: str | Path, config: Mapping[str, Any] | None = None) -> Llama:
    """The Llama model of a safetensors file of Hugging Face, in float32 and evaluation mode.

    `config`: what its `config.json` says; by default that file is read from the same folder. There the two
    halves of a head are turned, here neighbours: rows of queries and keys are put in that order. Raises
    ModelFileError for files that are missing, damaged or of another architecture.
    """
    path = Path(path)
    given = _hugging_face(path, config)
    tensors = dict(_tensors(path))
    with meta(), grad_mode(False):
        model = _built(given, path)
    _materialise(model)
    names = _names(model, "model.embed_tokens", "model.norm", "lm_head", "model.layers.{}.{}", _HUGGING_FACE)
    modules: dict[str, Any] = dict(model.named_modules())
    for name, tensor in names:
        found, shape = tensors.get(f"{tensor}.weight"), modules[name].weight.shape
        if found is None or found.shape != shape:
            what = "is missing" if found is None else f"is {found.shape}; the configuration makes it {shape}"
            raise ModelFileError(f"{path}: {tensor}.weight {what}")
        if name.endswith(("q_proj", "k_proj")):
            found = neighbours(found, model.width // model.heads)
        modules[name].__dict__["weight"] = Parameter(from_numpy(np.ascontiguousarray(found)))
    model.eval()
    return model


def neighbours(weight: Array, dim: int) -> Array:
    """Rows of heads of `dim` in the order in which features that turn together are neighbours.

    >>> neighbours(np.arange(4)[:, None], 4).ravel().tolist()
    [0, 2, 1, 3]
    """
    heads = weight.reshape(-1, 2, dim // 2, weight.shape[1])
    return heads.transpose(0, 2, 1, 3).reshape(weight.shape)


def _hugging_face(path: Path, config: Mapping[str, Any] | None) -> dict[str, Any]:
    beside = path.with_name("config.json")
    try:
        found = json.loads(beside.read_text(encoding="utf-8")) if config is None else dict(config)
        if found.get("model_type", "llama") != "llama":
            raise ModelFileError(
                f"{path}: a model of the type {str(found['model_type'])[:40]!r}; llama is read"
            )
        given = {
            "vocab_size": int(found["vocab_size"]),
            "context": int(found["max_position_embeddings"]),
            "width": int(found["hidden_size"]),
            "layers": int(found["num_hidden_layers"]),
            "heads": int(found["num_attention_heads"]),
            "kv_heads": int(found.get("num_key_value_heads") or found["num_attention_heads"]),
            "hidden": int(found["intermediate_size"]),
            "base": float(found.get("rope_theta", 10000.0)),
            "eps": float(found.get("rms_norm_eps", 1e-6)),
            "tied": bool(found.get("tie_word_embeddings", False)),
        }
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelFileError(f"{beside}: no configuration of a Llama model ({error!r})") from error
    if found.get("rope_scaling"):
        raise ModelFileError(
            f"{beside}: rope_scaling is {str(found['rope_scaling'])[:60]}, which is not read"
        )
    if not all(0 < v <= LARGEST for v in given.values() if isinstance(v, int)):
        raise ModelFileError(f"{beside}: a size is not in 1 .. {LARGEST:,}: {given}")
    return given


def _tensors(path: Path) -> Iterator[tuple[str, Array]]:
    """The tensors of a safetensors file in float32, bfloat16 among them, which NumPy does not have."""
    from safetensors import SafetensorError, deserialize

    kinds: dict[str, Callable[[bytes], Array]] = {
        "F32": lambda raw: np.frombuffer(raw, "<f4"),
        "F16": lambda raw: np.frombuffer(raw, "<f2").astype(np.float32),
        "BF16": lambda raw: (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32),
    }
    try:
        found = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise ModelFileError(f"{path}: not a whole safetensors file: {error}") from error
    for name, tensor in found:
        if tensor["dtype"] not in kinds:
            raise ModelFileError(f"{path}: {name} is {tensor['dtype']}; {', '.join(kinds)} are read")
        yield name, kinds[tensor["dtype"]](tensor["data"]).reshape(tensor["shape"])
