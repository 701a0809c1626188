"""Calibration against what the layers themselves are called with, and what it says of data that is none."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from tests.quantization.simulation import Array, cnn, gpt, ids, mlp, normal, seen_by
from tinytorch import Tensor, no_grad
from tinytorch.errors import QuantizationError
from tinytorch.models import GPT
from tinytorch.nn import Conv2d, Dropout, Embedding, LayerNorm, Linear, Module, ReLU, Sequential
from tinytorch.quantization.calibrate import ROWS, VALUES, Seen, calibrate, filled, inputs_of, quantizable


def spied(model: Module) -> dict[str, list[Array]]:
    """A list for each layer that the layer itself fills with what it is called with."""
    found: dict[str, list[Array]] = defaultdict(list)
    for path, layer in quantizable(model).items():

        def forward(x: Tensor, path: str = path, inner: Any = layer.forward) -> Tensor:
            found[path].append(x.data.copy())
            return inner(x)

        layer.forward = forward
    return found


def agrees(seen: Seen, given: list[Array], gram: bool) -> None:
    """Whether all that was seen of a layer's inputs is what went into it.

    A Linear layer without a bias makes rows of its input before it multiplies them.
    """
    assert seen.calls == len(given)
    assert seen.shape in (given[0].shape, given[0].reshape(-1, given[0].shape[-1]).shape)
    assert seen.low == min(x.min() for x in given)
    assert seen.high == max(x.max() for x in given)
    flat = [x if x.ndim == 4 else x.reshape(-1, x.shape[-1]) for x in given]
    np.testing.assert_array_equal(np.sort(seen.values), np.sort(np.concatenate([x.ravel() for x in flat])))
    np.testing.assert_array_equal(seen.kept, np.concatenate([x[: ROWS // 8] for x in flat]))
    if not gram or flat[0].ndim == 4:
        assert seen.gram is None
        return
    rows = np.concatenate(flat).astype(np.float64)
    assert seen.gram is not None
    np.testing.assert_allclose(seen.gram, np.einsum("ni,nj->ij", rows, rows), rtol=1e-10)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt"])
def test_what_goes_into_each_layer_is_what_is_seen(name: str, gram: bool) -> None:
    model: Module = {"mlp": mlp, "cnn": cnn, "gpt": gpt}[name]()
    batches = {
        "mlp": [normal(1, 70, 16), normal(2, 3, 16)],
        "cnn": [normal(1, 2, 1, 4, 4), normal(2, 3, 1, 4, 4)],
        "gpt": [ids(1, 2, 8), ids(2, 1, 5)],
    }[name]
    given = spied(model)
    layers = quantizable(model)
    seen = calibrate(model, [(x,) for x in batches], layers, gram=gram)
    assert list(seen) == list(layers)
    for path, layer in layers.items():
        if isinstance(layer, Embedding):
            assert seen[path].calls == len(given[path])
            assert seen[path].shape == (given[path][0].shape if given[path] else ())
        else:
            agrees(seen[path], given[path], gram)
    if name == "gpt":
        assert seen["wpe"].whole
        assert not seen["wpe"].calls
        assert seen["wte"].calls == 2
        assert seen["head"].calls == 2
        assert layers["head"].bias is None


def test_a_table_that_is_read_by_ids_alone_is_not_read_as_a_whole() -> None:
    model = Sequential(Embedding(7, 4), Linear(4, 3))
    seen = calibrate(model, [(ids(0, 2, 3, below=7),)], quantizable(model))
    assert not seen["0"].whole
    assert seen["0"].calls == 1


def test_of_much_data_a_sample_is_kept_and_the_ends_of_all() -> None:
    layer = Sequential(Linear(64, 2))
    batches = [normal(i, 1000, 64) for i in range(6)]
    batches[3].assign_(np.where(np.arange(64) == 5, np.float32(99), batches[3].data))
    seen = seen_by(layer, *batches)
    every = np.concatenate([x.data for x in batches])
    assert (seen.low, seen.high) == (every.min(), 99)
    assert seen.values.size == VALUES
    assert np.isin(seen.values, every).all()
    assert seen.values.std() == pytest.approx(every.std(), rel=0.1)
    assert len(seen.kept) <= ROWS
    np.testing.assert_array_equal(seen.kept, np.concatenate([x.data[: ROWS // 8] for x in batches]))
    many = seen_by(layer, *[normal(i, 100, 64) for i in range(12)])
    assert len(many.kept) == ROWS


def test_a_layer_that_runs_twice_in_a_pass_is_seen_twice() -> None:
    class Twice(Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.never = Linear(4, 4), Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x).relu())

    model = Twice()
    given = spied(model)
    seen = calibrate(model, [(normal(0, 5, 4),)], quantizable(model), gram=True)
    agrees(seen["layer"], given["layer"], gram=True)
    assert seen["layer"].calls == 2
    assert seen["never"].calls == 0
    assert seen["never"].values.size == 0


def test_models_of_several_inputs() -> None:
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Linear(3, 4), Linear(5, 4)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.a(x) + self.b(y)

    x, y, target = normal(0, 6, 3), normal(1, 6, 5), ids(0, 6)
    model = Two()
    seen = calibrate(model, [inputs_of((x, y, target))], quantizable(model))
    assert seen["b"].high == y.data.max()


def test_the_model_runs_in_evaluation_mode_and_gets_its_modes_back() -> None:
    model = Sequential(Dropout(0.5), Linear(8, 4), Sequential(Dropout(0.5), LayerNorm(4)))
    model.train()
    model[2].eval()
    modes = [m.training for m in model.modules()]
    x = normal(0, 30, 8)
    seen = calibrate(model, [(x,)], quantizable(model))
    np.testing.assert_array_equal(seen["1"].kept, x.data)
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(QuantizationError):
        calibrate(model, [(Tensor(np.full((1, 8), np.nan, np.float32)),)], quantizable(model))
    assert [m.training for m in model.modules()] == modes


def test_no_gradients_are_recorded() -> None:
    outputs = []

    class Kept(Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            outputs.append(self.layer(x))
            return outputs[-1]

    model = Kept()
    calibrate(model, [(normal(0, 3, 4),)], quantizable(model))
    assert not outputs[0].requires_grad


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named_with_their_layer(wrong: float) -> None:
    model = mlp()
    x = normal(0, 4, 16).data.copy()
    x[2, 3] = wrong
    with pytest.raises(QuantizationError, match=rf"{wrong} goes into layer layers\.0"):
        calibrate(model, [(normal(1, 4, 16),), (Tensor(x),)], quantizable(model))
    with no_grad():
        model.layers[0].bias.assign_(np.full(24, wrong, np.float32))
    if wrong > 0 or np.isnan(wrong):
        with pytest.raises(QuantizationError, match=r"goes into layer layers\.2"):
            calibrate(model, [(normal(1, 4, 16),)], quantizable(model))


def test_batches_without_samples() -> None:
    empty, some = normal(0, 0, 16), normal(0, 2, 16)
    pair = some, ids(0, 2)
    found = filled([empty, some, (empty, ids(0, 0)), pair])
    assert list(map(id, found)) == [id(some), id(pair)]
    for loader in ([], [empty], [(empty, ids(0, 0))]):
        with pytest.raises(QuantizationError, match="calibration: the loader has no batches with samples"):
            filled(loader)


def test_what_is_a_batch() -> None:
    x, y, target = normal(0, 2, 3), normal(1, 2, 3), ids(0, 2)
    assert inputs_of(x) == (x,)
    assert inputs_of((x,)) == (x,)
    assert inputs_of((x, target)) == (x,)
    assert inputs_of((x, y, target)) == (x, y)
    for wrong in ([x, target], (), (x, 3), "batch", x.data, None):
        with pytest.raises(QuantizationError, match="a batch is a Tensor, or a tuple"):
            inputs_of(wrong)


def test_only_layers_of_these_very_classes_can_be_quantized() -> None:
    class Special(Linear):
        pass

    model = Sequential(Special(4, 4), Linear(4, 4), LayerNorm(4), ReLU(), Conv2d(1, 1, 1), Embedding(3, 2))
    assert list(quantizable(model)) == ["1", "4", "5"]
    shared = GPT(vocab_size=5, context=4, width=4, layers=1, heads=1)
    shared.again = shared.blocks[0].mlp
    paths = list(quantizable(shared))
    assert len(paths) == len(set(map(id, quantizable(shared).values()))) == 9
