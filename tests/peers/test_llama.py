"""Llama beside `transformers`: files that it wrote, and logits and gradients of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tinytorch import Tensor
from tinytorch.errors import ModelFileError
from tinytorch.models.llama_files import load_safetensors, neighbours
from tinytorch.nn import functional

SIZES = {
    "vocab_size": 50,
    "max_position_embeddings": 32,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5,
}
LIMIT = 1e-4


def peer(**config: Any) -> LlamaForCausalLM:
    """A model of transformers whose weights are so large that each counts, norms among them."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **config}, attn_implementation="eager")).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.3)
    return model


def renamed(name: str) -> str:
    """What a parameter of transformers is called here."""
    for theirs, ours in (
        ("model.embed_tokens", "embed"),
        ("model.norm", "norm"),
        ("lm_head", "head"),
        ("model.layers", "blocks"),
        ("self_attn.o_proj", "attn.out_proj"),
        ("self_attn", "attn"),
        ("mlp.gate_proj", "mlp.gate"),
        ("mlp.up_proj", "mlp.up"),
        ("mlp.down_proj", "mlp.down"),
        ("input_layernorm", "norm1"),
        ("post_attention_layernorm", "norm2"),
    ):
        name = name.replace(theirs, ours)
    return name


def difference(ours: Tensor, theirs: torch.Tensor) -> float:
    expected = theirs.detach().float().numpy()
    assert ours.shape == expected.shape
    return float(np.abs(ours.data - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 6},
        {"num_key_value_heads": 1, "tie_word_embeddings": False},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
        {"rms_norm_eps": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@torch.no_grad()
def test_a_model_that_transformers_saved(tmp_path: Path, config: dict[str, Any], dtype: str) -> None:
    peer(**config).to(getattr(torch, dtype)).save_pretrained(tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    ours = load_safetensors(tmp_path / "model.safetensors")
    assert ours.tied == theirs.config.tie_word_embeddings
    ids = np.random.default_rng(1).integers(0, 50, (3, 32))
    assert difference(ours(Tensor(ids)), theirs(torch.from_numpy(ids)).logits) <= LIMIT
    assert difference(ours(Tensor(ids[:, :1])), theirs(torch.from_numpy(ids[:, :1])).logits) <= LIMIT


@pytest.mark.parametrize(
    "config",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"head_dim": 16},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}},
    ],
    ids=str,
)
def test_what_would_be_another_model_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    peer(**config).save_pretrained(tmp_path)
    with pytest.raises(ModelFileError):
        load_safetensors(tmp_path / "model.safetensors")


@pytest.mark.parametrize("tied", [True, False])
def test_all_gradients(tmp_path: Path, tied: bool) -> None:
    theirs = peer(tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path)
    ours = load_safetensors(tmp_path / "model.safetensors")
    rng = np.random.default_rng(2)
    ids, labels = rng.integers(0, 50, (2, 16)), rng.integers(0, 50, 32)
    loss = functional.cross_entropy(ours(Tensor(ids)).reshape(-1, 50), Tensor(labels))
    loss.backward()
    logits = theirs(torch.from_numpy(ids)).logits.reshape(-1, 50)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    mine, checked = dict(ours.named_parameters()), set[str]()
    for name, parameter in theirs.named_parameters():
        wanted, found = parameter.grad.numpy(force=True), mine[renamed(name)].grad
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            wanted = neighbours(wanted, 8)
        assert found is not None, name
        assert np.abs(found.data - wanted).max() <= LIMIT * np.abs(wanted).max(), name
        checked.add(renamed(name))
    assert checked == mine.keys()
