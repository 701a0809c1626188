"""TinyTorch beside PyTorch: twins that compute the same, a report that adds up, and nothing left changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tinytorch as tt
from tinytorch import Tensor, nn
from tinytorch.errors import ProfilingError, TinyTorchError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.models.bert import BERT
from tinytorch.nn.module import Module, Parameter
from tinytorch.profiling.pytorch.against import against_torch
from tinytorch.profiling.pytorch.twin import array_of, twin_of
from tinytorch.profiling.tree import modules_by_path

SMALL = {"vocab_size": 50, "context": 16, "width": 32, "layers": 2, "heads": 4}


BERT_SIZES = {"vocab_size": 50, "context": 16, "width": 32, "layers": 2, "heads": 4}


@pytest.fixture(scope="module")
def gpt() -> Any:
    model = GPT(**SMALL)
    return model, against_torch(model, runs=12, threads=1)


# ---------------------------------------------------------------- twins


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=2, padding=1, dilation=2, groups=2, bias=False),
        nn.BatchNorm2d(4, eps=1e-3, momentum=0.3),
        nn.SiLU(),
        nn.Identity(),
        nn.Sequential(nn.AvgPool2d(2, 1), nn.GELU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(16, 6, bias=False),
        nn.Tanh(),
        nn.LayerNorm(6, eps=1e-3),
        nn.Sigmoid(),
        nn.Dropout(0.4),
        nn.Softmax(-1),
    )


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (MLP((12, 7, 3)), np.ones((2, 3, 4), np.float32)),
        (CNN(3, 5, 12), np.ones((2, 3, 12, 12), np.float32)),
        (GPT(**SMALL), np.arange(24).reshape(2, 12)),
        (layers(), np.random.default_rng(0).standard_normal((2, 2, 13, 9)).astype(np.float32)),
        (nn.Embedding(5, 3), np.arange(4)),
        (BERT(**BERT_SIZES, pooler=True), np.arange(24).reshape(2, 12)),
        (
            nn.TransformerBlock(8, 2, causal=False),
            np.random.default_rng(1).standard_normal((2, 5, 8)).astype("f4"),
        ),
    ],
)
def test_a_twin_computes_the_same_under_the_same_names(model: Module, x: Any) -> None:
    model.eval()
    twin = twin_of(model)
    np.testing.assert_allclose(
        model(Tensor(x)).numpy(), twin(torch.from_numpy(x)).detach().numpy(), atol=1e-5
    )
    assert dict(twin.named_modules()).keys() == dict(model.named_modules()).keys()
    ours, theirs = model.state_dict(), twin.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key].numpy(), theirs[key].numpy()) for key in ours)
    assert not twin.training
    for path in modules_by_path(model):
        twin.get_submodule(path)


def test_weights_are_copies_and_ties_are_kept() -> None:
    model = GPT(**SMALL)
    twin = twin_of(model)
    assert twin.head.weight is twin.wte.weight
    assert twin.training
    with torch.no_grad():
        twin.wte.weight.zero_()
    assert np.abs(model.wte.weight.numpy()).max() > 0


def test_a_shared_module_is_shared_and_a_frozen_parameter_frozen() -> None:
    layer = nn.Linear(3, 3)
    layer.weight.requires_grad_(False)
    twin = twin_of(nn.Sequential(layer, nn.ReLU(), layer))
    assert twin[0] is twin[2]
    assert not twin[0].weight.requires_grad
    assert twin[0].bias.requires_grad


def test_dtype_is_that_of_the_model() -> None:
    model = MLP((3, 2)).to("float64")
    assert twin_of(model).layers[0].weight.dtype is torch.float64
    assert array_of(torch, Tensor([1, 2])).dtype is torch.int64


class Scale(Module):
    """A module that has no twin."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = Parameter([2.0])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_a_module_without_a_twin_is_refused() -> None:
    with pytest.raises(
        ProfilingError, match=r"Scale: there is no twin in PyTorch.*Supported: MLP, CNN, GPT and BERT"
    ):
        twin_of(nn.Sequential(Scale()))


# ---------------------------------------------------------------- beside each other


def test_the_verdict_comes_from_unwatched_passes(gpt: Any) -> None:
    _, found = gpt
    assert found.total.low is not None
    assert found.total.low <= found.total.value <= found.total.high
    assert found.error < 1e-5
    assert found.configuration["threads"] == "1"
    assert found.configuration["inputs"] == "int64[1, 16]"


def test_modules_of_both_line_up(gpt: Any) -> None:
    model, found = gpt
    rows = {row.path: row for row in found.rows}
    idle = ("blocks", "wpe")  # a list of modules does no work of its own, and of wpe the weight alone is used
    assert list(rows) == [path for path in modules_by_path(model) if path not in idle]
    assert all(row.ours.value > 0 and row.torch.value > 0 and row.ratio is not None for row in rows.values())
    groups = {row.path: row for row in found.groups}
    assert groups["blocks.*.attn"].kind == "MultiHeadAttention"
    one, two = (rows[f"blocks.{i}.mlp.fc1"].ours.value for i in (0, 1))
    assert groups["blocks.*.mlp.fc1"].ours.value > max(one, two)


def test_the_report_is_at_most_100_columns(gpt: Any) -> None:
    text = repr(gpt[1])
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("GPT: TinyTorch takes ")
    assert "\nWhere: " in text


def test_a_cnn_stands_beside_channels_last() -> None:
    found = against_torch(CNN(image_size=8), runs=3, threads=1)
    assert any("channels_last" in note for note in found.notes)
    assert {row.path for row in found.rows} >= {"conv1", "relu", "pool", "fc2", "flatten"}


def test_bert_with_padding_and_segments() -> None:
    rng = np.random.default_rng(3)
    ids, mask = rng.integers(0, 50, (2, 9)), np.ones((2, 9), np.int64)
    mask[1, 5:] = 0
    args = tuple(map(Tensor, (ids, mask, rng.integers(0, 2, (2, 9)))))
    found = against_torch(BERT(**BERT_SIZES), args, runs=2, threads=1)
    assert found.error < 1e-5
    groups = {row.path for row in found.groups}
    assert {"embeddings", "embeddings.segments", "blocks.*", "blocks.*.attn", "blocks.*.mlp.fc1"} <= groups


def test_other_inputs_and_two_threads() -> None:
    found = against_torch(MLP((4, 3)), (tt.ones(5, 4),), runs=3, threads=2)
    assert found.configuration["inputs"] == "float32[5, 4]"
    assert found.configuration["threads"] == "2"


@pytest.fixture
def threads() -> Iterator[None]:
    before = tt.get_num_threads(), torch.get_num_threads()
    yield
    tt.set_num_threads(before[0])
    torch.set_num_threads(before[1])


@pytest.mark.usefixtures("threads")
def test_modes_threads_and_modules_are_as_before() -> None:
    model = MLP((4, 3))
    model.layers.eval()
    tt.set_num_threads(1)
    torch.set_num_threads(2)
    before = tt.get_num_threads(), torch.get_num_threads(), torch.is_inference_mode_enabled()
    against_torch(model, runs=2)
    assert (tt.get_num_threads(), torch.get_num_threads(), torch.is_inference_mode_enabled()) == before
    assert model.training
    assert not model.layers.training
    assert all("forward" not in vars(one) for one in model.modules())
    with pytest.raises(TinyTorchError, match="0 threads"):
        against_torch(model, threads=0)
    assert (tt.get_num_threads(), torch.get_num_threads(), torch.is_inference_mode_enabled()) == before
    with pytest.raises(ProfilingError, match="no twin"):
        against_torch(Scale(), (tt.ones(2),))
    assert (tt.get_num_threads(), torch.get_num_threads(), torch.is_inference_mode_enabled()) == before


def test_dropout_does_not_drop_while_compared() -> None:
    model = GPT(**SMALL, dropout=0.5)
    assert against_torch(model, runs=2, threads=1).error < 1e-5
    assert model.training
