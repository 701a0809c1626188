"""MLP, CNN and GPT beside the same models written with PyTorch's modules, under the same parameter names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tinytorch import Tensor, nn
from tinytorch.models import CNN, GPT, MLP, save_weights
from tinytorch.nn import functional
from tinytorch.nn.module import Module
from tinytorch.profiling.pytorch.twin import twin_of
from tinytorch.random import Generator

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


MODELS = {"mlp": MLP, "cnn": CNN, "gpt": GPT}


def pair(name: str, dtype: str = "float32") -> tuple[Module, torch.nn.Module]:
    """A model of ours and PyTorch's, with the weights of ours moved a little from where they start."""
    ours = MODELS[name]()
    rng = np.random.default_rng(4)
    for parameter in ours.parameters():
        parameter.assign_(parameter.detach().data + 0.05 * rng.standard_normal(parameter.shape))
    ours.to(dtype)
    return ours, twin_of(ours)


def batch(name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    if name == "gpt":
        return rng.integers(0, 256, (3, 40)), rng.integers(0, 256, (120,))
    return rng.standard_normal((5, 1, 28, 28)).astype(dtype), rng.integers(0, 10, (5,))


def assert_close(found: np.ndarray, expected: Any, tolerance: float, what: str) -> None:
    """The largest difference relative to the largest magnitude."""
    reference = expected.detach().numpy()
    error = np.abs(found - reference).max() / np.abs(reference).max()
    assert found.dtype == reference.dtype
    assert error <= tolerance, f"{what}: {error:.2g}"


# ---------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(MODELS))
def test_logits_loss_and_gradients(name: str, dtype: str) -> None:
    ours, theirs = pair(name, dtype)
    x, labels = batch(name, dtype)
    logits, expected = ours(Tensor(x)), theirs(torch.from_numpy(x))
    assert_close(logits.data, expected, TOLERANCE[dtype], "logits")
    classes = logits.shape[-1]
    loss = functional.cross_entropy(logits.reshape(-1, classes), Tensor(labels))
    expected_loss = torch.nn.functional.cross_entropy(expected.reshape(-1, classes), torch.from_numpy(labels))
    assert_close(loss.data, expected_loss, TOLERANCE[dtype], "loss")
    loss.backward()
    expected_loss.backward()
    gradients = {key: p.grad for key, p in theirs.named_parameters()}
    assert gradients.keys() == dict(ours.named_parameters()).keys()
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None
        if key.endswith("k_proj.bias"):  # exactly 0 but for rounding: softmax takes out what all keys share
            scale = max(float(g.abs().max()) for k, g in gradients.items() if k.endswith("q_proj.bias"))
            assert np.abs(parameter.grad.data).max() <= TOLERANCE[dtype] * scale
        else:
            assert_close(parameter.grad.data, gradients[key], TOLERANCE[dtype], key)


def test_one_tensor_stands_under_both_names_in_both() -> None:
    ours, theirs = pair("gpt")
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.num_parameters() == sum(p.numel() for p in theirs.parameters())


# ---------------------------------------------------------------- weights that change sides


@pytest.mark.parametrize("name", list(MODELS))
def test_a_safetensors_file_written_by_pytorch_loads(name: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file
    from safetensors.torch import save_model

    ours, theirs = MODELS[name](), twin_of(MODELS[name]())  # first values of their own each
    save_model(theirs, str(tmp_path / "weights.safetensors"))  # keeps one name of tied weights
    ours.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x, _ = batch(name, "float32")
    assert_close(ours(Tensor(x)).data, theirs(torch.from_numpy(x)), 1e-5, name)


def test_a_file_of_ours_loads_in_pytorch(tmp_path: Path) -> None:
    from safetensors.torch import load_model

    ours, theirs = GPT(), twin_of(GPT())
    save_weights(ours, tmp_path / "gpt.safetensors")
    load_model(theirs, tmp_path / "gpt.safetensors")
    x, _ = batch("gpt", "float32")
    assert_close(ours(Tensor(x)).data, theirs(torch.from_numpy(x)), 1e-5, "gpt")


def test_multihead_attention_ports_as_the_guide_says() -> None:
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    torch.nn.init.normal_(theirs.in_proj_bias)
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    for name in [n for n in state if "in_proj_" in n]:
        parts = np.split(state.pop(name), 3)
        for letter, part in zip("qkv", parts, strict=True):
            state[name.replace("in_proj_", f"{letter}_proj.")] = part
    ours = nn.MultiHeadAttention(8, 2)
    ours.load_state_dict(state)
    rng = np.random.default_rng(7)
    x, may_attend = rng.standard_normal((3, 5, 8)).astype(np.float32), rng.random((3, 5)) < 0.7
    may_attend[:, 0] = True
    given = torch.from_numpy(x)
    expected, _ = theirs(given, given, given, key_padding_mask=torch.from_numpy(~may_attend))
    assert_close(ours(Tensor(x), Tensor(may_attend[:, None, None, :])).data, expected, 1e-5, "attention")


def test_batch_norm_state_loads() -> None:
    theirs = torch.nn.BatchNorm2d(3)
    x = np.random.default_rng(1).standard_normal((4, 3, 5, 5)).astype(np.float32)
    theirs(torch.from_numpy(x))
    ours = nn.BatchNorm2d(3)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    assert ours.num_batches_tracked.item() == 1
    for mode in (True, False):
        ours.train(mode)
        theirs.train(mode)
        assert_close(ours(Tensor(x)).data, theirs(torch.from_numpy(x)), 1e-5, "batch norm")
    assert_close(ours.running_var.data, theirs.running_var, 1e-5, "running variance")


# ---------------------------------------------------------------- first values


LAYERS = [
    (lambda g: nn.Linear(300, 200, generator=g), lambda: torch.nn.Linear(300, 200)),
    (lambda g: nn.Conv2d(8, 64, 5, generator=g), lambda: torch.nn.Conv2d(8, 64, 5)),
    (lambda g: nn.Conv2d(8, 64, 3, groups=4, generator=g), lambda: torch.nn.Conv2d(8, 64, 3, groups=4)),
    (lambda g: nn.Embedding(200, 100, generator=g), lambda: torch.nn.Embedding(200, 100)),
    (lambda g: nn.LayerNorm(100), lambda: torch.nn.LayerNorm(100)),
    (lambda g: nn.BatchNorm2d(100), lambda: torch.nn.BatchNorm2d(100)),
]


@pytest.mark.parametrize(("make", "make_theirs"), LAYERS)
def test_first_values_come_from_the_same_distribution(make: Any, make_theirs: Any) -> None:
    """Two-sample Kolmogorov-Smirnov over 20 layers of each; all of one value where PyTorch has one value."""
    torch.manual_seed(0)
    generator = Generator(0)
    pairs = [(make(generator), make_theirs()) for _ in range(20)]
    for key, _ in pairs[0][0].named_parameters():
        ours = np.concatenate([dict(o.named_parameters())[key].data.ravel() for o, _ in pairs])
        theirs = np.concatenate([dict(t.named_parameters())[key].detach().numpy().ravel() for _, t in pairs])
        assert ours.shape == theirs.shape
        if theirs.std() == 0:
            assert np.array_equal(ours, theirs)
            continue
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
        # the spread of a standard deviation of n values is at most std / sqrt(n) for these distributions
        assert ours.std() == pytest.approx(theirs.std(), rel=6 / math.sqrt(ours.size))


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((6, 4)) * 4, rng.random((6, 4))
    x[0] = 0.0
    weight = rng.random(4) * 3
    cases = [
        (nn.MSELoss(reduction), torch.nn.MSELoss(reduction=reduction)),
        (nn.BCEWithLogitsLoss(reduction=reduction), torch.nn.BCEWithLogitsLoss(reduction=reduction)),
        (
            nn.BCEWithLogitsLoss(Tensor(weight), reduction),
            torch.nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=torch.from_numpy(weight)),
        ),
    ]
    for ours, theirs in cases:
        a, b = Tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
        found, expected = ours(a, Tensor(y)), theirs(b, torch.from_numpy(y))
        assert_close(found.data, expected, 1e-10, repr(ours))
        found.sum().backward()
        expected.sum().backward()
        assert_close(a.grad.data, b.grad, 1e-10, repr(ours))
