"""BERT against its formulas in float64 NumPy, what padding and segments do, and Hugging Face's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

import tinytorch as tt
from tinytorch import Tensor, no_grad
from tinytorch.errors import CheckpointError, DTypeError, ShapeError
from tinytorch.models import BERT
from tinytorch.models.bert import hugging_face_names, load_hugging_face, mean_pooled
from tinytorch.nn import functional
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.random import Generator

Array = np.ndarray[Any, Any]
SMALL = {"vocab_size": 11, "context": 8, "width": 12, "layers": 2, "heads": 3, "hidden": 20}


def make(dtype: str = "float64", **more: Any) -> BERT:
    """A small BERT whose weights, biases and norms all matter."""
    model = BERT(**{**SMALL, **more}, generator=Generator(1))
    rng = np.random.default_rng(2)
    for parameter in model.parameters():
        parameter.assign_(parameter.detach().data + 0.3 * rng.standard_normal(parameter.shape))
    return model.to(dtype)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Ids, a mask with padding at the end, at both ends and nowhere, and segments."""
    ids = Generator(3).randint(0, 11, (3, 6))
    mask = Tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0]])
    return ids, mask, Tensor([[0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1]])


# ---------------------------------------------------------------- the formulas of the paper


def normalised(x: Array, weight: Array, bias: Array) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * weight + bias


def expected(model: BERT, ids: Array, mask: Array | None = None, segments: Array | None = None) -> Array:
    """Hidden states, one sentence, head and query after the other."""
    w = {name: p.detach().numpy() for name, p in model.named_parameters()}

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Array, name: str) -> Array:
        return normalised(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def attention(x: Array, may: Array, name: str) -> Array:
        q, k, v = (linear(x, f"{name}.{part}_proj") for part in "qkv")
        size = model.width // model.heads
        out = np.zeros_like(x)
        for head in range(model.heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(x)):
                weights = np.exp(k[may, part] @ q[t, part] / math.sqrt(size))
                out[t, part] = weights @ v[may, part] / weights.sum()
        return linear(out, f"{name}.out_proj")

    sentences = []
    for row, tokens in enumerate(ids):
        may = np.ones(len(tokens), bool) if mask is None else mask[row] != 0
        kinds = np.zeros(len(tokens), int) if segments is None else segments[row]
        x = w["embeddings.words.weight"][tokens] + w["embeddings.segments.weight"][kinds]
        x = norm(x + w["embeddings.positions.weight"][: len(tokens)], "embeddings.norm")
        for i in range(model.layers):
            x = norm(x + attention(x, may, f"blocks.{i}.attn"), f"blocks.{i}.norm1")
            inner = linear(x, f"blocks.{i}.mlp.fc1")
            inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
            x = norm(x + linear(inner, f"blocks.{i}.mlp.fc2"), f"blocks.{i}.norm2")
        sentences.append(x)
    return np.array(sentences)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("segmented", [False, True])
def test_hidden_states_are_those_of_the_formulas(masked: bool, segmented: bool) -> None:
    model = make()
    ids, mask, segments = batch()
    given_mask, given_segments = mask if masked else None, segments if segmented else None
    found = model(ids, given_mask, given_segments).data
    reference = expected(model, ids.data, mask.data if masked else None, segments.data if segmented else None)
    assert np.abs(found - reference).max() < 1e-10
    assert np.abs(make("float32")(ids, given_mask, given_segments).data - reference).max() < 1e-4


def test_pooler_and_embedding_are_those_of_the_formulas() -> None:
    model = make(pooler=True)
    ids, mask, _ = batch()
    hidden = expected(model, ids.data, mask.data)
    weight, bias = (t.detach().numpy() for t in (model.pooler.dense.weight, model.pooler.dense.bias))
    assert np.abs(model(ids, mask).data - np.tanh(hidden[:, 0] @ weight.T + bias)).max() < 1e-10
    assert np.abs(model.hidden_states(ids, mask).data - hidden).max() < 1e-10
    for row, embedding in enumerate(model.embed(ids, mask).data):
        mean = hidden[row][mask.data[row] == 1].mean(0)
        assert np.abs(embedding - mean / math.sqrt((mean**2).sum())).max() < 1e-10
    means = expected(model, ids.data).mean(1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    assert np.abs(model.embed(ids).data - means / lengths).max() < 1e-10


# ---------------------------------------------------------------- padding


@given(st.integers(1, 6), st.integers(0, 2), st.integers(0, 10))
def test_what_stands_in_the_padding_changes_no_token(length: int, more: int, filler: int) -> None:
    model = make()
    ids = Generator(length).randint(0, 11, (2, length))
    longer = np.full((2, length + more), filler)
    longer[:, :length] = ids.data
    mask = np.zeros((2, length + more), bool)
    mask[:, :length] = True
    padded = model(Tensor(longer), Tensor(mask)).data
    assert np.abs(padded[:, :length] - model(ids).data).max() < 1e-12
    assert np.abs(model.embed(Tensor(longer), Tensor(mask)).data - model.embed(ids).data).max() < 1e-12


def test_without_a_mask_padding_is_attended_to() -> None:
    model = make()
    ids, mask, _ = batch()
    assert np.abs(model(ids).data - model(ids, mask).data)[0, :4].max() > 1e-3


def test_a_row_of_padding_only_gives_zeros_and_finite_gradients() -> None:
    hidden = Tensor(np.ones((2, 3, 4)), requires_grad=True)
    pooled = mean_pooled(hidden, Tensor([[0, 0, 0], [0, 1, 1]]))
    assert np.array_equal(pooled.data, [[0.0] * 4, [0.5] * 4])
    (pooled * Tensor(np.arange(8.0).reshape(2, 4))).sum().backward()
    assert np.isfinite(hidden.grad.data).all()
    assert (hidden.grad.data[0] == 0).all()
    assert (hidden.grad.data[1, 1:] != 0).any()


# ---------------------------------------------------------------- as a model


@pytest.mark.parametrize("pooler", [False, True])
def test_every_parameter_moves_in_a_step(pooler: bool) -> None:
    model = make("float32", pooler=pooler)
    before = {key: p.numpy() for key, p in model.named_parameters()}
    ids, mask, segments = batch()
    out = model(ids, mask, segments)
    (out * Generator(5).randn(*out.shape)).sum().backward()
    with no_grad():
        for parameter in model.parameters():
            parameter.assign_(parameter - parameter.grad * 0.1)
    still = [key for key, p in model.named_parameters() if np.array_equal(p.data, before[key])]
    assert [key for key in still if not key.endswith("k_proj.bias")] == []


def test_a_model_learns_one_batch_by_heart() -> None:
    model = BERT(**SMALL, generator=Generator(1), pooler=True)
    ids, mask, _ = batch()
    labels, losses = Tensor([4, 0, 9]), []
    for step in range(150):
        model.zero_grad()
        loss = functional.cross_entropy(model(ids, mask) * 8.0, labels)
        loss.backward()
        with no_grad():
            for parameter in model.parameters():
                parameter.assign_(parameter - parameter.grad.sign() * 0.01 * (1 - step / 150))
        losses.append(loss.item())
    assert losses[0] > 1
    assert losses[-1] < 0.05


@pytest.mark.parametrize("pooler", [False, True])
def test_config_rebuilds_the_model(pooler: bool) -> None:
    model = make("float32", pooler=pooler, dropout=0.1, segments=3).eval()
    twin = BERT(**model.config()).eval()
    assert repr(twin) == repr(model)
    twin.load_state_dict(model.state_dict())
    assert np.array_equal(model.example_input.data, twin.example_input.data)
    assert np.array_equal(twin(model.example_input).data, model(model.example_input).data)
    assert model.example_input.shape == (1, 8)


def test_dropout_acts_in_training_only() -> None:
    bare = make(layers=0, dropout=0.5)  # the embeddings alone
    zeros = (bare(bare.example_input).data == 0).mean()
    assert 0.2 < zeros < 0.8
    assert (bare.eval()(bare.example_input).data != 0).all()
    model = make(dropout=0.5)
    ids, mask, _ = batch()
    assert np.abs(model(ids, mask).data - model(ids, mask).data).max() > 0.1
    model.eval()
    assert np.abs(model(ids, mask).data - expected(model, ids.data, mask.data)).max() < 1e-10


def test_first_values() -> None:
    model = BERT(vocab_size=200, context=64, width=64, layers=2, heads=2, pooler=True)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            assert float(p.data.std()) == pytest.approx(0.02, rel=0.3), name
            assert abs(float(p.data.mean())) < 6 * 0.02 / math.sqrt(p.size), name
        else:
            assert (p.data == (0.0 if name.endswith("bias") else 1.0)).all(), name


def test_a_profile_reads_well() -> None:
    paths = [name for name, _ in BERT(**SMALL, pooler=True).named_modules()]
    assert {"embeddings.words", "blocks.0.attn.q_proj", "blocks.1.mlp.fc2", "pooler.dense"} <= set(paths)


def test_bert_base_is_counted_as_published_without_data() -> None:
    with tt.meta():
        model = BERT(pooler=True)
        assert model.embed(model.example_input, model.example_input).shape == (1, 768)
    assert model.num_parameters() == 109_482_240
    assert FLOPCounter("matmul").count(model, (1, 128), dtype="int64") == 22_348_431_360


# ---------------------------------------------------------------- bad input


def test_what_does_not_fit_is_named() -> None:
    model = make()
    ids, mask, _ = batch()
    for wrong in (Tensor([1, 2]), Tensor(np.zeros((1, 9), int)), Tensor(np.zeros((1, 2, 3), int))):
        with pytest.raises(ShapeError, match=r"BERT: ids .*; expected \(batch, t\) with t at most 8"):
            model(wrong)
    for name in ("attention_mask", "token_type_ids"):
        with pytest.raises(ShapeError, match=rf"{name} \(6,\); expected the shape of ids, \(3, 6\)"):
            model(ids, **{name: mask[0]})
    with pytest.raises(ShapeError, match="id 11 is out of range"):
        model(Tensor([[11]]))
    with pytest.raises(ShapeError, match="id 2 is out of range for 2 rows"):
        model(ids, None, ids * 0 + 2)
    with pytest.raises(DTypeError):
        model(ids.to("float32"))
    with pytest.raises(ShapeError, match="5 heads do not divide"):
        BERT(width=12, heads=5)


# ---------------------------------------------------------------- Hugging Face's names


def theirs(model: BERT) -> dict[str, Array]:
    """The weights under their names in transformers' BertModel, written down here once more by hand."""
    own = {name: p.detach().numpy() for name, p in model.named_parameters()}
    found = {}
    for name, value in own.items():
        for ours, other in [
            ("words", "word_embeddings"),
            ("positions", "position_embeddings"),
            ("segments", "token_type_embeddings"),
            ("embeddings.norm", "embeddings.LayerNorm"),
            ("blocks.", "encoder.layer."),
            ("attn.q_proj", "attention.self.query"),
            ("attn.k_proj", "attention.self.key"),
            ("attn.v_proj", "attention.self.value"),
            ("attn.out_proj", "attention.output.dense"),
            ("norm1", "attention.output.LayerNorm"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
            ("norm2", "output.LayerNorm"),
        ]:
            name = name.replace(ours, other)
        found[name] = value
    return found


@pytest.mark.parametrize("pooler", [False, True])
def test_weights_under_hugging_faces_names_load(pooler: bool) -> None:
    source = make("float32", pooler=True)
    target = BERT(**SMALL, pooler=pooler)
    tensors = {**theirs(source), "embeddings.position_ids": np.arange(8)[None]}
    load_hugging_face(target, tensors)
    ids, mask, segments = batch()
    assert np.array_equal(
        target.hidden_states(ids, mask, segments).data, source.hidden_states(ids, mask, segments).data
    )
    if pooler:
        assert np.array_equal(target(ids, mask).data, source(ids, mask).data)


def test_names_are_a_one_to_one_map_onto_all_parameters() -> None:
    names = hugging_face_names(2)
    assert sorted(names.values()) == sorted(name for name, _ in make(pooler=True).named_parameters())
    assert set(names) == set(theirs(make(pooler=True)))


def test_weights_that_do_not_fit_change_nothing() -> None:
    tensors = theirs(make("float32", pooler=True))
    model = BERT(**SMALL, pooler=True)
    before = {name: p.numpy() for name, p in model.named_parameters()}
    query = "encoder.layer.0.attention.self.query.weight"
    without = {name: t for name, t in tensors.items() if name != query}
    no_pooler = {name: t for name, t in tensors.items() if not name.startswith("pooler")}
    cases = [
        (without, f"missing {query} \\(1 in all\\)"),
        ({**without, "blocks.0.attn.q_proj.weight": tensors[query]}, r"missing .*unexpected blocks\.0"),
        ({**tensors, "encoder.layer.2.output.dense.bias": np.zeros(12)}, r"unexpected encoder\.layer\.2"),
        (no_pooler, r"missing pooler\.dense\.bias; missing pooler\.dense\.weight"),
        ({**tensors, query: np.zeros((12, 6))}, r"q_proj\.weight: shape \(12, 6\), expected \(12, 12\)"),
        ({**tensors, query: np.zeros((12, 12), int)}, r"q_proj\.weight: dtype int64"),
        ({}, r"\.\.\. \(39 in all\)"),
    ]
    for wrong, message in cases:
        with pytest.raises(CheckpointError, match=message) as caught:
            load_hugging_face(model, wrong)
        assert "\n" not in str(caught.value)
        assert "Nothing was changed" in str(caught.value)
    assert all(np.array_equal(p.data, before[name]) for name, p in model.named_parameters())
    load_hugging_face(BERT(**SMALL), no_pooler)
