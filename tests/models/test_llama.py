"""Llama: against NumPy in float64, learning, and the same model out of GGUF and safetensors files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import gguf_files as files
from tests.models.llama_numpy import logits
from tinytorch import Tensor, no_grad
from tinytorch.errors import ModelFileError, ShapeError
from tinytorch.models.blocks import BlockEmbedding, BlockLinearLayer
from tinytorch.models.gguf import GGUF
from tinytorch.models.llama import Llama
from tinytorch.models.llama_files import load_gguf, load_safetensors
from tinytorch.nn import functional
from tinytorch.random import Generator

Array = np.ndarray[Any, Any]
SMALL = {"vocab_size": 11, "context": 8, "width": 16, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 24}
IDS = [1, 7, 0, 10, 7, 3, 2]
NAMES = {  # ours, in GGUF files, and Hugging Face's
    "attn.q_proj": ("attn_q", "self_attn.q_proj"),
    "attn.k_proj": ("attn_k", "self_attn.k_proj"),
    "attn.v_proj": ("attn_v", "self_attn.v_proj"),
    "attn.out_proj": ("attn_output", "self_attn.o_proj"),
    "mlp.gate": ("ffn_gate", "mlp.gate_proj"),
    "mlp.up": ("ffn_up", "mlp.up_proj"),
    "mlp.down": ("ffn_down", "mlp.down_proj"),
    "norm1": ("attn_norm", "input_layernorm"),
    "norm2": ("ffn_norm", "post_attention_layernorm"),
}


def named(model: Llama, theirs: int = 0) -> dict[str, str]:
    """Names of GGUF files, or of Hugging Face, by ours."""
    outer = (("embed", "token_embd", "model.embed_tokens"), ("norm", "output_norm", "model.norm"))
    found = {f"{row[0]}.weight": f"{row[1 + theirs]}.weight" for row in outer}
    if not model.tied:
        found["head.weight"] = ("output.weight", "lm_head.weight")[theirs]
    for i in range(model.layers):
        for ours, pair in NAMES.items():
            layer = ("blk", "model.layers")[theirs]
            found[f"blocks.{i}.{ours}.weight"] = f"{layer}.{i}.{pair[theirs]}.weight"
    return found


def weights_of(model: Llama) -> dict[str, Array]:
    """By their names in GGUF files."""
    parameters = dict(model.named_parameters())
    names = named(model)
    assert parameters.keys() == names.keys()
    return {names[ours]: parameter.numpy() for ours, parameter in parameters.items()}


def lively(seed: int = 1, **config: Any) -> Llama:
    """A model whose weights are so large that each counts, norms among them."""
    model = Llama(**{**SMALL, **config}, generator=Generator(seed)).to("float64")
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        values = rng.normal(size=parameter.shape) * (0.3 if parameter.ndim == 2 else 0.5)
        parameter.assign_(values + (parameter.ndim == 1))
    return model


def close(found: Any, expected: Array, share: float) -> None:
    found = found.data if isinstance(found, Tensor) else found
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= share * np.abs(expected).max()


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tied": False},
        {"kv_heads": 4},
        {"kv_heads": 1},
        {"heads": 1, "kv_heads": 1},
        {"heads": 8, "kv_heads": 2},
        {"base": 100.0, "eps": 0.5, "layers": 1},
    ],
    ids=str,
)
def test_logits_against_numpy(config: dict[str, Any]) -> None:
    model = lively(**config)
    expected = logits(weights_of(model), model.config(), IDS)
    close(model(Tensor([IDS]))[0], expected, 1e-6)  # the angles are float32
    assert np.abs(expected).max() > 1


def test_each_row_of_a_batch_by_itself_and_no_look_ahead() -> None:
    model = lively()
    other = [5, 7, 0, 10, 7, 3, 9]
    both = model(Tensor([IDS, other])).data
    for row, ids in zip(both, (IDS, other), strict=True):
        close(row, logits(weights_of(model), model.config(), ids), 1e-6)
    changed = model(Tensor([[*IDS[:4], 9, 9, 9]])).data[0]
    assert np.array_equal(changed[:4], model(Tensor([IDS])).data[0, :4])
    assert (np.abs(changed - both[0])[4:].max(-1) > 1e-3).all()


def test_only_distances_count_but_order_does() -> None:
    """Rotary positions: moving all by as much changes nothing, exchanging two does."""
    model = lively(layers=1)
    x = Tensor(np.random.default_rng(0).normal(size=(1, 3, 16)))
    block = model.blocks[0]
    places = [Tensor(np.array([p])) for p in ([0, 1, 2], [5, 6, 7], [1, 0, 2])]
    same, moved, exchanged = (block(x, p).data[0, 2] for p in places)
    assert np.allclose(same, moved, atol=1e-6)
    assert not np.allclose(same, exchanged, atol=1e-3)


def test_first_values() -> None:
    model = Llama(vocab_size=300, width=128, layers=2, generator=Generator(1))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter.data == 1).all()
        else:
            assert parameter.data.std() == pytest.approx(0.02, rel=0.05), name
    assert (model.kv_heads, model.hidden) == (4, 512)
    assert model.example_input is not None
    assert np.isfinite(model(model.example_input).data).all()


def test_config_rebuilds_the_model() -> None:
    for model in (Llama(**SMALL), Llama(**SMALL, base=500.0, eps=1e-3, tied=False)):
        twin = Llama(**model.config())
        assert repr(twin) == repr(model)
        twin.load_state_dict(model.state_dict())
        assert np.array_equal(twin(Tensor([IDS])).data, model(Tensor([IDS])).data)
    assert ("head.weight" in model.state_dict(), model.config()["tied"]) == (True, False)


# ---------------------------------------------------------------- learning


def loss_of(model: Llama, ids: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(model(ids).reshape(-1, model.vocab_size), labels)


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_moves_in_a_step(tied: bool) -> None:
    model = Llama(**SMALL, tied=tied, generator=Generator(3))
    before = {name: p.numpy() for name, p in model.named_parameters()}
    loss_of(model, Generator(8).randint(0, 11, (4, 8)), Generator(9).randint(0, 11, (32,))).backward()
    with no_grad():
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert (np.abs(parameter.grad.data) > 0).mean() > 0.5, name
            parameter.assign_(parameter - parameter.grad)
    assert [name for name, p in model.named_parameters() if np.array_equal(p.data, before[name])] == []


def test_gradients_by_differences() -> None:
    model = lively(layers=1, tied=False)
    ids, labels = Tensor([IDS[:5]]), Tensor([3, 1, 4, 1, 5])
    loss_of(model, ids, labels).backward()
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        value, direction = parameter.numpy(), rng.normal(size=parameter.shape)
        ends = []
        for step in (1e-5, -1e-5):
            parameter.assign_(value + step * direction)
            ends.append(loss_of(model, ids, labels).item())
        parameter.assign_(value)
        slope = (parameter.grad.data * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8), name


def test_a_model_learns_one_batch_by_heart() -> None:
    model = Llama(**SMALL, generator=Generator(3))
    ids, labels = Generator(8).randint(0, 11, (4, 8)), Generator(9).randint(0, 11, (32,))
    for step in range(200):
        model.zero_grad()
        loss = loss_of(model, ids, labels)
        loss.backward()
        with no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.assign_(parameter - parameter.grad.sign() * 1e-2 * (1 - step / 200))
    assert loss.item() < 0.05


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 3},
        {"kv_heads": 3},
        {"kv_heads": 8},
        {"heads": 16, "kv_heads": 16},
        {"heads": 0},
        {"kv_heads": -2},
    ],
)
def test_sizes_that_do_not_divide(sizes: dict[str, int]) -> None:
    with pytest.raises(ShapeError, match="each must divide the next"):
        Llama(**{**SMALL, **sizes})


@pytest.mark.parametrize("shape", [(8,), (1, 9), (1, 1, 4)])
def test_ids_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="at most 8 positions"):
        Llama(**SMALL)(Tensor(np.zeros(shape, np.int64)))
    with pytest.raises(ShapeError, match="id 11 is out of range"):
        Llama(**SMALL)(Tensor([[1, 11]]))


# ---------------------------------------------------------------- GGUF

TOKENS = [260, 1, 97, 258, 0, 263, 97, 98, 99, 3]


def load(path: Path, expand: bool = False) -> Llama:
    with GGUF(path) as file:
        return load_gguf(file, expand)


def stored(weights: dict[str, Array], kinds: dict[str, tuple[str, Array]]) -> dict[str, Array]:
    """What is left of weights when they are stored so, through the reader that has tests of its own."""
    from tinytorch.models.gguf_types import TYPES

    found = {}
    for name, array in weights.items():
        kind = kinds[name][0]
        raw = np.frombuffer(files.stored(kind, array), np.uint8).reshape(
            len(array) if array.ndim > 1 else 1, -1
        )
        found[name] = TYPES[files.TYPES[kind]].dequantize(raw).reshape(array.shape)
    return found


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("F32", {}),
        ("F16", {}),
        ("Q4_0", {}),
        ("Q4_1", {}),
        ("Q8_0", {}),
        ("Q4_K", {"width": 256, "hidden": 256, "layers": 1}),
    ],
)
def test_a_gguf_file(tmp_path: Path, kind: str, config: dict[str, Any], tied: bool) -> None:
    """Expanded: the very weights. In blocks: these too, and logits as near as inputs in eight bits allow."""
    config = {**files.CONFIG, **config, "tied": tied}
    written = files.tiny(tmp_path / "a.gguf", kind, "Q8_0" if kind.startswith("Q4") else None, **config)
    kinds = files.llama_tensors(written, kind, "Q8_0" if kind.startswith("Q4") else None)
    exact = stored(written, kinds)
    plain, blocks = load(tmp_path / "a.gguf", expand=True), load(tmp_path / "a.gguf")
    assert {**plain.config(), "eps": 0.0} == {**config, "eps": 0.0}
    assert plain.config()["eps"] == np.float32(config["eps"])
    assert not plain.training
    for name, array in weights_of(plain).items():
        assert np.array_equal(array, exact[name]), name
    expected = logits(exact, config, TOKENS)
    close(plain(Tensor([TOKENS]))[0], expected, 1e-5)
    modules = dict(blocks.named_modules())
    for ours, theirs in named(plain).items():
        module = modules[ours.removesuffix(".weight")]
        assert np.array_equal(module.weight.data, exact[theirs]), theirs
        in_blocks = isinstance(module, BlockEmbedding | BlockLinearLayer)
        assert in_blocks == kinds[theirs][0].startswith("Q")
    found = blocks(Tensor([TOKENS])).data[0]
    close(found, expected, 0.1 if kind.startswith("Q") else 1e-5)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_a_layer_of_blocks_is_what_its_weights_and_inputs_in_codes_give(tmp_path: Path, kind: str) -> None:
    """The products of codes are exact, so that only the sums of blocks are rounded."""
    files.tiny(tmp_path / "a.gguf", kind)
    model = load(tmp_path / "a.gguf")
    x = np.random.default_rng(3).normal(size=(2, 5, 64)).astype(np.float32)
    x[0, 0], x[0, 1, :32] = 0, 0
    parts = x.reshape(2, 5, 2, 32)
    scale = np.abs(parts).max(-1, keepdims=True) / np.float32(127)
    codes = np.rint(parts / np.where(scale > 0, scale, 1)).astype(np.float64)
    rounded = (codes * scale).reshape(x.shape)
    layers = [model.blocks[0].attn.q_proj, model.blocks[1].mlp.gate, model.blocks[0].attn.k_proj]
    for layer in layers:
        close(layer(Tensor(x)), rounded @ layer.weight.data.astype(np.float64).T, 1e-6)
    embed = model.embed
    close(embed.logits(Tensor(x)), rounded @ embed.weight.data.astype(np.float64).T, 1e-6)
    assert np.array_equal(embed(Tensor([[5, 0], [263, 5]])).data, embed.weight.data[[[5, 0], [263, 5]]])
    assert layers[0](Tensor(np.zeros((0, 3, 64), np.float32))).shape == (0, 3, 64)
    assert embed(Tensor(np.zeros((2, 0), np.int64))).shape == (2, 0, 64)
    assert embed.logits(Tensor(np.zeros((2, 0, 64), np.float32))).shape == (2, 0, 264)


def test_blocks_stay_as_they_are_and_are_small(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    files.tiny(path, "Q4_1", "Q8_0")
    model = load(path)
    assert [name for name, _ in model.named_parameters() if "norm" not in name] == []
    panels = sum(tensor.data.nbytes for name, tensor in model.state_dict().items() if "panels" in name)
    weights = {k: v for k, v in files.llama_weights().items() if v.ndim == 2}
    expected = sum(v.size * 20 / 32 for k, v in weights.items() if k != "token_embd.weight")
    assert panels == expected + 272 * 64 * 34 / 32  # 264 rows of the embedding in 17 panels of 16
    assert repr(model.blocks[0].mlp.down).startswith("BlockLinearLayer(64, 4 bits with minima)")
    assert repr(model.embed).startswith("BlockEmbedding(264, 8 bits)")


def test_an_expanded_model_trains(tmp_path: Path) -> None:
    files.tiny(tmp_path / "a.gguf", "Q8_0")
    model = load(tmp_path / "a.gguf", expand=True)
    model.train()
    loss_of(model, Tensor([TOKENS]), Tensor(TOKENS)).backward()
    with no_grad():
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            before = parameter.numpy()
            parameter.assign_(parameter - parameter.grad)
            assert not np.array_equal(parameter.data, before), name


def test_what_a_file_leaves_out(tmp_path: Path) -> None:
    """All heads have keys of their own, the base is 10,000 and the eps 1e-5, unless a file says otherwise."""
    metadata = files.llama_metadata(kv_heads=4)
    for key in ("attention.head_count_kv", "rope.freq_base", "attention.layer_norm_rms_epsilon"):
        del metadata[f"llama.{key}"]
    weights = files.llama_weights(kv_heads=4)
    (tmp_path / "a.gguf").write_bytes(files.write(metadata, files.llama_tensors(weights)))
    model = load(tmp_path / "a.gguf")
    assert (model.kv_heads, model.base, model.eps) == (4, 10000.0, 1e-5)
    close(model(Tensor([TOKENS]))[0], logits(weights, model.config(), TOKENS), 1e-5)


def test_a_norm_in_blocks_can_be_expanded(tmp_path: Path) -> None:
    tensors = files.llama_tensors(files.llama_weights())
    tensors["output_norm.weight"] = ("Q8_0", np.ones(64, np.float32))
    (tmp_path / "a.gguf").write_bytes(files.write(files.llama_metadata(), tensors))
    assert np.allclose(load(tmp_path / "a.gguf", expand=True).norm.weight.data, 1, rtol=1e-3)


# ---------------------------------------------------------------- safetensors

HF = {
    "model_type": "llama",
    "vocab_size": 11,
    "max_position_embeddings": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "rope_theta": 500.0,
    "rms_norm_eps": 1e-3,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def bytes_of(kind: str, array: Array) -> bytes:
    if kind == "BF16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[kind]).tobytes()


def safetensors(tensors: dict[str, tuple[str, Array]]) -> bytes:
    header, data = {}, b""
    for name, (kind, array) in tensors.items():
        raw = bytes_of(kind, array)
        header[name] = {
            "dtype": kind,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def hugging_face(
    folder: Path, kind: str = "F32", **config: Any
) -> tuple[Path, dict[str, Array], dict[str, Any]]:
    """A file in Hugging Face's layout beside its config.json; its weights under the names of GGUF files."""
    settings = {key: value for key, value in {**HF, **config}.items() if value is not None}
    ours = {
        "vocab_size": 11,
        "context": 8,
        "width": 16,
        "layers": 2,
        "heads": 4,
        "kv_heads": settings.get("num_key_value_heads", 4),
        "hidden": 24,
        "base": settings.get("rope_theta", 10000.0),
        "eps": settings.get("rms_norm_eps", 1e-6),
        "tied": settings.get("tie_word_embeddings", False),
    }
    weights = files.llama_weights(seed=2, **ours)
    names = dict(zip(*(named(Llama(**ours), i).values() for i in (0, 1)), strict=True))
    path = folder / "model.safetensors"
    path.write_bytes(safetensors({names[name]: (kind, array) for name, array in weights.items()}))
    path.with_name("config.json").write_text(json.dumps(settings))
    exact = {"F32": 0.0, "F16": 2.0**-11, "BF16": 2.0**-7}[kind]
    kept = {
        name: np.frombuffer(bytes_of(kind, a), {"F32": "<f4", "F16": "<f2"}[kind]).reshape(a.shape)
        if kind != "BF16"
        else (a.view(np.uint32) & 0xFFFF0000).view(np.float32)
        for name, a in weights.items()
    }
    assert all(np.allclose(kept[name], a, rtol=exact, atol=1e-7) for name, a in weights.items())
    return path, kept, ours


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(
    "config",
    [{}, {"tie_word_embeddings": False}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}],
    ids=str,
)
def test_a_safetensors_file_of_hugging_face(tmp_path: Path, kind: str, config: dict[str, Any]) -> None:
    """Its logits are those of a model that turns halves; here rows are in another order for that."""
    path, weights, ours = hugging_face(tmp_path, kind, **config)
    model = load_safetensors(path)
    assert model.config() == ours
    assert not model.training
    expected = logits(weights, ours, IDS, halves=True)
    close(model(Tensor([IDS]))[0], expected, 1e-5)
    assert np.abs(logits(weights, ours, IDS) - expected).max() > 0.1  # the order matters
    twin = load_safetensors(path, json.loads(path.with_name("config.json").read_text()))
    assert np.array_equal(twin(Tensor([IDS])).data, model(Tensor([IDS])).data)
    loss_of(model, Tensor([IDS]), Tensor(IDS)).backward()
    with no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.assign_(parameter - parameter.grad)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"num_key_value_heads": None}, {"kv_heads": 4}),
        ({"rope_theta": None}, {"base": 10000.0}),
        ({"rms_norm_eps": None}, {"eps": 1e-6}),
        ({"tie_word_embeddings": None}, {"tied": False}),
        ({"model_type": None, "hidden_act": None, "rope_scaling": None}, {}),
        ({"rope_scaling": {"rope_type": "default"}}, {}),
        (
            {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
            {"base": 77.0},
        ),
    ],
    ids=str,
)
def test_what_a_configuration_leaves_out(
    tmp_path: Path, config: dict[str, Any], found: dict[str, Any]
) -> None:
    path, _, ours = hugging_face(tmp_path, **config)
    assert load_safetensors(path).config() == {**ours, **found}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        *(({key: None}, f"no configuration of a Llama model .{key} is None") for key in list(HF)[1:6]),
        ({"intermediate_size": None}, "intermediate_size is None"),
        ({"model_type": "mistral\n" * 99}, "the model_type is 'mistral.*; llama is read"),
        ({"model_type": [1]}, "the model_type is"),
        ({"hidden_act": "gelu"}, "the hidden_act is 'gelu'; silu is read"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "the rope_type is 'linear'; default"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "the rope_type is 'llama3'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "the rope_type is 'yarn'"),
        ({"rope_scaling": 3}, "no configuration"),
        ({"hidden_size": 15}, "each must divide"),
        ({"hidden_size": 32}, r"embed_tokens.weight is \(11, 16\); the configuration makes it \(11, 32\)"),
        ({"hidden_size": "16"}, "hidden_size is 16, not a number"),
        ({"hidden_size": 16.0}, "hidden_size is 16.0, not a number"),
        ({"hidden_size": True}, "hidden_size is True, not a number"),
        ({"hidden_size": -16}, "hidden_size is -16"),
        ({"hidden_size": 10**30}, "hidden_size is 10{30}, not a number in 1"),
        ({"hidden_size": INF}, "hidden_size is inf"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_attention_heads": 3}, "each must divide"),
        ({"num_key_value_heads": 3}, "each must divide"),
        ({"num_key_value_heads": 1}, r"k_proj.weight is \(8, 16\); the configuration makes it \(4, 16\)"),
        ({"num_hidden_layers": 3}, "model.layers.2.self_attn.q_proj.weight is missing"),
        ({"num_hidden_layers": 1}, "'model.layers.1.* is no tensor of a Llama model"),
        ({"num_hidden_layers": 2**20}, "says it has 1,048,576 layers"),
        ({"max_position_embeddings": 2**20}, "1,048,576 positions"),
        ({"max_position_embeddings": 2**21}, "max_position_embeddings is 2097152"),
        ({"tie_word_embeddings": False}, "lm_head.weight is missing"),
        *(({"rope_theta": x}, "the base is") for x in (NAN, INF, 0.0, -1.0, 0.9)),
        *(({"rms_norm_eps": x}, "the eps is") for x in (NAN, INF, -1.0)),
        ({"rope_theta": 10**400}, "no configuration"),
        ({"rope_theta": [1]}, "no configuration"),
        ({"rms_norm_eps": "small"}, "no configuration"),
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    path, _, _ = hugging_face(tmp_path)
    settings = {k: v for k, v in {**HF, **config}.items() if v is not None}
    path.with_name("config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelFileError, match=reason) as caught:
        load_safetensors(path)
    assert str(caught.value).isprintable()
    with pytest.raises(ModelFileError):
        load_safetensors(path, settings)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", "{", '{"a": 1', "[" * 100_000, '{"vocab_size": NaN}', "\0"]
)
def test_a_config_json_that_is_none(tmp_path: Path, text: str) -> None:
    path, _, _ = hugging_face(tmp_path)
    beside = path.with_name("config.json")
    beside.write_text(text)
    with pytest.raises(ModelFileError, match="config.json: no configuration of a Llama model"):
        load_safetensors(path)
    beside.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelFileError, match="no configuration"):
        load_safetensors(path)
    beside.unlink()
    with pytest.raises(ModelFileError, match="no configuration.*No such file"):
        load_safetensors(path)


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    path, weights, ours = hugging_face(tmp_path)
    names = dict(zip(*(named(Llama(**ours), i).values() for i in (0, 1)), strict=True))
    good = {names[name]: ("F32", array) for name, array in weights.items()}
    norm = "model.norm.weight"
    for change, reason in (
        ({norm: ("F64", np.ones(16))}, f"{norm} is F64; F32, F16, BF16 are read"),
        ({norm: ("F32", np.ones(8))}, rf"{norm} is \(8,\); the configuration makes it \(16,\)"),
        ({norm: ("F32", np.ones((1, 16)))}, rf"{norm} is \(1, 16\)"),
        ({norm: ("F32", np.ones((0, 16)))}, rf"{norm} is \(0, 16\)"),
        ({"model.layers.0.self_attn.q_proj.bias": ("F32", np.ones(16))}, "q_proj.bias' is no tensor of"),
        ({"x\n": ("F32", np.ones(16))}, r"'x\\n' is no tensor of"),
    ):
        path.write_bytes(safetensors({**good, **change}))
        with pytest.raises(ModelFileError, match=reason) as caught:
            load_safetensors(path)
        assert str(caught.value).isprintable()
    allowed = {
        "lm_head.weight": ("F32", np.zeros((11, 16))),  # a copy, where it is tied
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", np.ones(2)),
    }
    path.write_bytes(safetensors({**good, **allowed}))
    close(load_safetensors(path)(Tensor([IDS]))[0], logits(weights, ours, IDS, halves=True), 1e-5)


def test_a_safetensors_file_cut_anywhere_or_missing(tmp_path: Path) -> None:
    path, _, _ = hugging_face(tmp_path)
    content = path.read_bytes()
    for end in [*range(0, 100), *range(100, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:end])
        with pytest.raises(ModelFileError, match="not a whole safetensors file"):
            load_safetensors(path)
    path.unlink()
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_safetensors(path)
    path.mkdir()
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_safetensors(path)
