"""Training that knows of codes: what its layers compute and learn, and that quantize takes it as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.data import DataLoader, load
from tinytorch.errors import QuantizationError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn import functional
from tinytorch.optim import SGD, AdamW
from tinytorch.quantization import aware, quantize
from tinytorch.quantization.aware import AwareConv2d, AwareEmbedding, AwareLinear, ByRange, rounded
from tinytorch.quantization.grid import codes_of, numbers_of, symmetric_scale
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

SCHEMES = ("int8", "int8-static", "int8-tensor", "uint8-static", "int4-g32")


def batches(model: nn.Module, count: int = 4) -> list[Tensor]:
    given = model.example_input
    assert given is not None
    if given.dtype.kind == "i":
        return [Generator(i).randint(0, 20, (2, 8)) for i in range(count)]
    return [Generator(i).rand(8, *given.shape[1:]) for i in range(count)]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP((32, 16, 8), generator=Generator(1)),
    "cnn": lambda: CNN(image_size=8, generator=Generator(1)),
    "gpt": lambda: GPT(20, 8, 16, 1, 2, generator=Generator(1)),
}


def test_rounding_is_that_of_codes_for_each_row() -> None:
    x = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    scale = symmetric_scale(np.abs(x).max(1, keepdims=True))
    np.testing.assert_array_equal(rounded(Tensor(x), -1).data, numbers_of(codes_of(x, scale), scale))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", MODELS)
def test_what_training_sees_is_what_codes_will_compute(name: str, scheme: str) -> None:
    model = MODELS[name]()
    trained = aware(model, batches(model), scheme).eval()
    made = quantize(trained, batches(model), scheme, prefer="size", max_loss=1e9)
    with tt.no_grad():
        for x in batches(model, 2):
            wanted, found = trained(x).data, made(x).data
            np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-2 * np.abs(wanted).max())
            plain = model(x).data
            assert np.abs(wanted - plain).max() > np.abs(wanted - found).max(), "it rounds, and as codes do"


def test_names_and_parameters_are_those_of_the_model() -> None:
    model = GPT(20, 8, 16, 1, 2, generator=Generator(1))
    trained = aware(model, batches(model))
    assert [n for n, _ in trained.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert all(a is not b for a, b in zip(trained.parameters(), model.parameters(), strict=True))
    assert isinstance(trained.wte, AwareEmbedding)  # type: ignore[attr-defined]
    assert trained.head.weight is trained.wte.weight  # type: ignore[attr-defined]


def test_every_parameter_learns_and_a_compiled_step_does_the_same() -> None:
    model = CNN(image_size=8, generator=Generator(2))
    data = batches(model)
    twins = [aware(model, data, "uint8-static").train() for _ in range(2)]
    labels, before = Generator(9).randint(0, 10, (8,)), [p.data.copy() for p in twins[0].parameters()]

    def step_of(network: nn.Module) -> Callable[[Tensor], None]:
        optimizer = SGD(list(network.parameters()), lr=0.1)

        def step(x: Tensor) -> None:
            optimizer.zero_grad()
            functional.cross_entropy(network(x), labels).backward()
            optimizer.step()

        return step

    eager, compiled = step_of(twins[0]), tt.compile(step_of(twins[1]))
    for x in data:
        eager(x)
        compiled(x)
    for old, a, b in zip(before, *(t.parameters() for t in twins), strict=True):
        assert np.abs(a.data - old).max() > 0
        np.testing.assert_allclose(a.data, b.data, atol=2e-4)


def test_ranges_follow_what_training_sees_and_rest_in_evaluation() -> None:
    layer = ByRange((-1.0, 2.0), unsigned=True)
    x = Tensor(np.array([[-3.0, 8.0]], np.float32))
    layer.eval()(x)
    assert (layer.low.item(), layer.high.item()) == (-1.0, 2.0)
    layer.train()(x)
    assert (layer.low.item(), layer.high.item()) == pytest.approx((-1.02, 2.06))


@pytest.mark.parametrize("bounds", [(0.0, 0.0), (-1.0, 0.0), (0.5, 3.0), (-2.0, 1e-3)])
def test_an_unsigned_range_rounds_as_its_codes(bounds: tuple[float, float]) -> None:
    from tinytorch.quantization.grid import affine_grid

    x = np.linspace(-3, 4, 50, dtype=np.float32)
    scale, zero = affine_grid(*bounds)
    codes = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
    with tt.no_grad():
        found = ByRange(bounds, unsigned=True).eval()(Tensor(x)).data
    np.testing.assert_allclose(found, numbers_of(codes, scale, zero), atol=1e-6)


def test_a_batch_norm_is_folded_first() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    trained = aware(model, [Generator(0).rand(4, 1, 8, 8)])
    kinds = [type(layer).__name__ for layer in trained.children()]
    assert kinds == ["AwareConv2d", "Identity", "ReLU", "Flatten", "AwareLinear"]
    assert isinstance(trained[0], AwareConv2d)  # type: ignore[index]
    assert isinstance(trained[4], AwareLinear)  # type: ignore[index]


def test_training_with_it_wins_back_what_four_bits_lose() -> None:
    """On digits: a small MLP by tensor and four bits, before and after two epochs that know of it."""
    tt.manual_seed(0)
    model = MLP((64, 32, 10), generator=Generator(3))
    train = list(DataLoader(load("digits", "train"), 50))
    held = next(iter(DataLoader(load("digits", "validation"), 200)))

    def epoch(network: nn.Module, lr: float) -> None:
        optimizer = AdamW(list(network.parameters()), lr=lr)
        for x, labels in train:
            optimizer.zero_grad()
            functional.cross_entropy(network(x), labels).backward()
            optimizer.step()

    def loss(network: nn.Module) -> float:
        with tt.no_grad():
            return float(functional.cross_entropy(network(held[0]), held[1]).item())

    for _ in range(4):
        epoch(model, 1e-2)
    options = {"scheme": "int4-g128", "prefer": "size", "max_loss": 1e9}
    nearest = quantize(model, train[:4], rounding="nearest", **options)  # type: ignore[arg-type]
    trained = aware(model, train[:4], "int4-g128")
    for _ in range(2):
        epoch(trained, 2e-3)
    assert loss(quantize(trained, train[:4], **options)) < loss(nearest)  # type: ignore[arg-type]


def test_what_cannot_be_trained_so_is_refused() -> None:
    model = MLP((8, 4))
    data = [Tensor(np.ones((2, 8), np.float32))]
    with pytest.raises(QuantizationError, match="mixed"):
        aware(model, data, "mixed")
    with pytest.raises(QuantizationError, match="no batches"):
        aware(model, [])
    with pytest.raises(QuantizationError, match="already"):
        aware(aware(model, data), data)
