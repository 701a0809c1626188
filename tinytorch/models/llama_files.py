"""Llama models out of files: GGUF, whose blocks of codes stay as they are, and safetensors."""

from __future__ import annotations

import json
import math
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
TABLE = 1 << 22
"""Bytes that the angles of all positions may take beside a file that is small itself."""
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
    model = _built(_config(file), file.path, len(file.tensors), file.size)
    modules: dict[str, Any] = dict(model.named_modules())
    names = _names(model, "token_embd", "output_norm", "output", "blk.{}.{}", _GGUF)
    found = {name: file.info(f"{theirs}.weight", *modules[name].weight.shape) for name, theirs in names}
    _require_no_others(file.path, set(file.tensors) - {info.name for info in found.values()})
    for name, info in found.items():
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
    dim = max(1, width // heads)
    turned = count("rope.dimension_count", dim)
    if turned != dim:
        raise ModelFileError(
            f"{file.path}: rotary positions on {turned} features of {width} / {heads}; all are turned"
        )
    for key in ("rope.scaling.type", "rope.scaling.factor", "rope.scale_linear", "expert_count"):
        if file.metadata.get(f"llama.{key}") not in (None, "none", 0, 1.0):
            raise ModelFileError(
                f"{file.path}: llama.{key} is {str(file.metadata[f'llama.{key}'])[:40]!r}, which is not read"
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


def _built(config: Mapping[str, Any], path: Path, tensors: int, size: int) -> Llama:
    """A model whose weights have shapes and no values yet, for a file of so many tensors and bytes.

    What it does make, modules and a table of angles, is not much larger than the file.
    """
    for key, least in (("base", 1.0), ("eps", 0.0)):
        if not least <= config[key] < math.inf:
            raise ModelFileError(f"{path}: the {key} is {config[key]}, not a number from {least} on")
    table = config["context"] * (config["width"] // config["heads"]) * 4
    if config["layers"] > tensors or table > size + TABLE:
        raise ModelFileError(
            f"{path}: says it has {config['layers']:,} layers and {config['context']:,} positions, with "
            f"{tensors} tensors in {size:,} bytes"
        )
    try:
        with meta(), grad_mode(False):
            model = Llama(**config)
    except ShapeError as error:
        raise ModelFileError(f"{path}: {error}") from None
    model.example_input = from_numpy(np.arange(min(model.context, 128))[None] % model.vocab_size)
    return model


def _require_no_others(path: Path, names: set[str]) -> None:
    """Raise ModelFileError for tensors that have no part in the model: without them it would be another."""
    if names:
        raise ModelFileError(f"{path}: {sorted(names)[0][:60]!r} is no tensor of a Llama model that is read")


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
    model = _built(given, path, len(tensors), sum(tensor.nbytes for tensor in tensors.values()))
    names = _names(model, "model.embed_tokens", "model.norm", "lm_head", "model.layers.{}.{}", _HUGGING_FACE)
    modules: dict[str, Any] = dict(model.named_modules())
    for name, tensor in names:
        found, shape = tensors.pop(f"{tensor}.weight", None), modules[name].weight.shape
        if found is None or found.shape != shape:
            what = "is missing" if found is None else f"is {found.shape}; the configuration makes it {shape}"
            raise ModelFileError(f"{path}: {tensor}.weight {what}")
        if name.endswith(("q_proj", "k_proj")):
            found = neighbours(found, model.width // model.heads)
        modules[name].__dict__["weight"] = Parameter(from_numpy(np.ascontiguousarray(found)))
    copies = {"lm_head.weight"} if model.tied else set[str]()
    _require_no_others(path, {name for name in tensors if not name.endswith(".inv_freq")} - copies)
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

    def whole(key: str) -> int:
        value = found.get(key)
        if type(value) is not int or not 0 < value <= LARGEST:
            raise ValueError(f"{key} is {str(value)[:40]}, not a number in 1 .. {LARGEST:,}")
        return value

    try:
        found = json.loads(beside.read_text(encoding="utf-8")) if config is None else dict(config)
        rope = {**(found.get("rope_scaling") or {}), **(found.get("rope_parameters") or {})}
        for what, value, known in (
            ("model_type", found.get("model_type"), "llama"),
            ("hidden_act", found.get("hidden_act"), "silu"),
            ("rope_type", rope.get("rope_type", rope.get("type")), "default"),
        ):
            if value not in (None, known):
                raise ModelFileError(f"{beside}: the {what} is {str(value)[:40]!r}; {known} is read")
        return {
            "vocab_size": whole("vocab_size"),
            "context": whole("max_position_embeddings"),
            "width": whole("hidden_size"),
            "layers": whole("num_hidden_layers"),
            "heads": whole("num_attention_heads"),
            "kv_heads": whole(
                "num_key_value_heads" if "num_key_value_heads" in found else "num_attention_heads"
            ),
            "hidden": whole("intermediate_size"),
            "base": float(rope.get("rope_theta", found.get("rope_theta", 10000.0))),
            "eps": float(found.get("rms_norm_eps", 1e-6)),
            "tied": bool(found.get("tie_word_embeddings", False)),
        }
    except ModelFileError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{beside}: no configuration of a Llama model ({error})") from error


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
