"""quantize: the model stays, the twin is what it says, and every scheme, oddity and error is defined."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.quantization.simulation import Array, close, cnn, gpt, ids, mlp, normal, run
from tests.quantization.test_fold import norm
from tinytorch import Tensor, no_grad
from tinytorch.errors import QuantizationError
from tinytorch.models import load_weights
from tinytorch.nn import Conv2d, Dropout, Embedding, LayerNorm, Linear, Module, ReLU, Sequential
from tinytorch.quantization import SCHEMES, quantize
from tinytorch.quantization.model import QuantizedModel
from tinytorch.quantization.scheme import scheme_of
from tinytorch.quantization.score import sqnr

LABELS = Tensor(np.arange(40) % 5)
LOOSE = {"prefer": "size", "max_loss": 1e9}
IMAGES = normal(5, 6, 1, 4, 4)


def batches() -> list[tuple[Tensor, ...]]:
    return [(normal(0, 40, 16), LABELS)]


def state(model: Module) -> dict[str, Array]:
    return {name: tensor.data.copy() for name, tensor in model.state_dict().items()}


# ---------------------------------------------------------------- the model and its twin


@pytest.mark.parametrize("training", [True, False])
def test_the_model_itself_stays_as_it_is(training: bool) -> None:
    model = Sequential(Conv2d(1, 3, 3), norm(3), ReLU(), Dropout(0.5), Conv2d(3, 2, 1), norm(2))
    model.train(training)
    model[3].eval()
    before, classes = state(model), [type(m) for m in model.modules()]
    modes = [m.training for m in model.modules()]
    q = quantize(model, [normal(0, 5, 1, 6, 6)], correct_bias=True, **LOOSE)
    assert [type(m) for m in model.modules()] == classes
    assert [m.training for m in model.modules()] == modes
    after = state(model)
    assert list(after) == list(before)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert all(p.requires_grad for p in model.parameters())
    assert not q.training
    assert q.report().folded == (("0", "1"), ("4", "5"))
    held = [t.data for t in q.state_dict().values()]
    assert not any(np.shares_memory(a.data, b) for a in model.state_dict().values() for b in held)


def test_the_twin_answers_like_the_model() -> None:
    model = mlp()
    q = quantize(model, batches(), **LOOSE)
    assert isinstance(q, QuantizedModel)
    assert q.sizes == model.sizes
    assert q.config() == model.config()
    assert q.example_input is not None
    np.testing.assert_array_equal(q.example_input.data, model.example_input.data)
    assert list(q.state_dict()) == [
        *("layers.0.codes", "layers.0.scale", "layers.0.bias"),
        *("layers.2.codes", "layers.2.scale", "layers.2.bias"),
    ]
    assert [name for name, _ in q.named_modules()][:3] == ["", "flatten", "layers"]
    assert q.num_parameters() == 0
    assert not q.training
    q.train()
    assert all(m.training for m in q.network.modules())
    assert "QuantizedLinear(int8), codes (24, 16)" in repr(q)
    with pytest.raises(AttributeError):
        _ = q.no_such_thing


def test_static_ranges_are_part_of_the_state() -> None:
    q = quantize(mlp(), batches(), "uint8-static", **LOOSE)
    names = [name for name in q.state_dict() if name.startswith("layers.0")]
    expected = ["codes", "scale", "bias", "inputs.scale", "inputs.zero"]
    assert names == [f"layers.0.{name}" for name in expected]


def test_a_copy_and_a_state_dict_give_the_same() -> None:
    q, x = quantize(mlp(), batches(), **LOOSE), normal(1, 4, 16)
    expected = run(q, x)
    np.testing.assert_array_equal(run(copy.deepcopy(q), x), expected)
    other = quantize(mlp(), [(normal(9, 3, 16), Tensor([0, 1, 2]))], **LOOSE)
    with no_grad():
        for _, tensor in other.named_buffers():
            tensor.assign_(tensor * 0)
    assert np.abs(run(other, x) - expected).max() > 0
    other.load_state_dict(state(q))
    np.testing.assert_array_equal(run(other, x), expected)


def test_the_same_seed_gives_the_same_model() -> None:
    x = normal(0, 700, 128)
    model = mlp(128, 16, 4)
    one, two = (state(quantize(model, [x], "uint8-static", seed=3, **LOOSE)) for _ in range(2))
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values)


# ---------------------------------------------------------------- the report


def test_the_report_has_a_row_for_each_layer() -> None:
    model = cnn()
    q = quantize(model, [(IMAGES, Tensor(np.arange(6) % 5))], **LOOSE)
    report = q.report()
    assert [(row.path, row.kind) for row in report.layers] == [
        *(("conv1", "Conv2d"), ("conv2", "Conv2d")),
        *(("fc1", "Linear"), ("fc2", "Linear")),
    ]
    assert all(row.kept and row.scheme == "int8" and row.race is None for row in report.layers)
    assert report.score == "accuracy"
    assert report.left == report.folded == ()
    for row in report.layers:
        layer, made = (dict(m.named_modules())[row.path] for m in (model, q))
        weights = sum(t.data.nbytes for t in layer.state_dict().values())
        held = sum(t.data.nbytes for t in made.state_dict().values())
        assert (row.before.resident, row.after.resident) == (weights, held)
        assert row.after.file <= held
        assert row.before.read is None or row.before.read >= weights
    assert report.before.resident == sum(row.before.resident for row in report.layers)
    assert report.after.file == sum(row.after.file for row in report.layers)
    lines = repr(report).splitlines()
    assert lines[0].split()[:2] == ["layer", "scheme"]
    assert [line.split()[0] for line in lines[2:6]] == ["conv1", "conv2", "fc1", "fc2"]
    assert all("  kept" in line and "reverted" not in line for line in lines[2:6])


def test_signal_over_noise_in_the_report_is_that_of_the_layer() -> None:
    model, x = mlp(), normal(0, 40, 16)
    q = quantize(model, [x], **LOOSE)
    lost = sqnr(run(model.layers[0], x), run(q.layers[0], x))
    assert q.report().layers[0].sqnr == pytest.approx(lost, abs=1e-6)
    assert 35 < lost < 60


def test_costs_in_the_report_are_of_each_layer_alone_and_of_all() -> None:
    model, x = mlp(), normal(0, 40, 16)
    wanted = run(model, x)

    def error(m: Module) -> float:
        return -float(np.abs(run(m, x) - wanted).max())

    q = quantize(model, [x], "int8-tensor", metric=error, **LOOSE)
    report = q.report()
    for row in report.layers:
        alone = copy.deepcopy(model)
        setattr(alone.layers, row.path[-1], dict(q.named_modules())[row.path])
        assert row.cost == pytest.approx(-error(alone))
    assert (report.score, report.score_before) == ("metric", 0.0)
    assert report.cost == pytest.approx(-error(q))
    assert report.score_after == pytest.approx(error(q))


# ---------------------------------------------------------------- schemes


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_every_scheme_gives_nearly_what_the_model_gives(scheme: str, name: str) -> None:
    model: Module = mlp(16, 8, 5) if name == "mlp" else cnn()
    x = normal(0, 40, 16) if name == "mlp" else IMAGES
    q = quantize(model, [x], scheme, **LOOSE)
    assert all(row.kept for row in q.report().layers)
    kinds = {type(m).__name__ for m in q.modules() if "codes" in m._roles or "half" in m._roles}
    expected = {"Linear", "Conv2d"} if name == "cnn" else {"Linear"}
    assert kinds == {("Half" if scheme == "float16" else "Quantized") + kind for kind in expected}
    few = 4 if scheme.startswith(("int4", "mixed")) else 8
    bits = {m.bits for m in q.modules() if type(m).__name__ == "QuantizedLinear"}
    assert bits == (set() if scheme == "float16" else {few})
    wanted, found = run(model, x), run(q, x)
    decibels = {4: 12, 8: 30}[few] if scheme != "float16" else 60
    assert sqnr(wanted, found) > decibels
    assert not np.array_equal(wanted, found)


def test_four_bits_are_half_of_eight() -> None:
    model, x = mlp(128, 64, 8), normal(0, 9, 128)
    sizes = {
        scheme: quantize(model, [x], scheme, rounding="nearest", **LOOSE).layers[0].codes.data.nbytes
        for scheme in ("int8", "int4-g128")
    }
    assert sizes == {"int8": 64 * 128, "int4-g128": 64 * 64}


def test_a_scheme_that_there_is_not() -> None:
    with pytest.raises(QuantizationError, match="no scheme 'int5'; there are: int8, int8-dynamic, .* mixed"):
        quantize(mlp(), batches(), "int5", prefer="size")
    assert scheme_of("int4-g32").group == 32
    assert scheme_of(SCHEMES["int8"]) is SCHEMES["int8"]


# ---------------------------------------------------------------- errors, and layers that are left


class Special(Linear):
    """A layer of one's own."""


def test_other_layers_are_left_alone_and_listed() -> None:
    model = Sequential(Linear(8, 8), LayerNorm(8), Special(8, 8), Linear(8, 12), Linear(12, 3))
    model.eval()
    x = normal(0, 20, 8)
    q = quantize(model, [x], "int4-g32", **LOOSE)
    assert [type(m).__name__ for m in q.children()] == [
        *("QuantizedLinear", "LayerNorm", "Special", "QuantizedLinear", "Linear")
    ]
    left = dict(q.report().left)
    assert set(left) == {"1", "2", "4"}
    assert left["1"] == "LayerNorm has no form on codes"
    assert left["2"] == "Special has no form on codes"
    assert "rows of 12 cannot be cut" in left["4"]
    assert "left       1: LayerNorm has no form on codes" in repr(q.report())
    assert [row.path for row in q.report().layers] == ["0", "3"]


def test_a_layer_that_never_runs_is_left_alone() -> None:
    class Partly(Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = Linear(8, 4), Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    q = quantize(Partly(), [normal(0, 4, 8)], **LOOSE)
    assert dict(q.report().left) == {"spare": "calibration never ran it"}
    assert isinstance(q.spare, Linear)
    assert not isinstance(q.used, Linear)


def test_a_table_that_is_read_as_a_whole() -> None:
    q = quantize(gpt(), [ids(0, 2, 8)], **LOOSE)
    assert type(q.wpe).__name__ == "QuantizedEmbedding"
    assert "wpe" in {row.path for row in q.report().layers}


def test_models_without_layers() -> None:
    for model in (Sequential(ReLU()), Sequential(Special(8, 8), LayerNorm(8))):
        with pytest.raises(QuantizationError, match="no Linear, Conv2d or Embedding layer"):
            quantize(model, [normal(0, 2, 8)], prefer="size")


@pytest.mark.parametrize("scheme", ["int8", "float16"])
def test_quantizing_twice_is_refused(scheme: str) -> None:
    q = quantize(mlp(), batches(), scheme, **LOOSE)
    for model in (q, q.network):
        with pytest.raises(QuantizationError, match="quantized already"):
            quantize(model, batches(), prefer="size")


def test_arguments_and_data_that_cannot_be() -> None:
    with pytest.raises(QuantizationError, match="prefer='fast'; expected 'speed' or 'size'"):
        quantize(mlp(), batches(), prefer="fast")  # type: ignore[arg-type]
    for wrong in (-0.1, math.nan):
        with pytest.raises(QuantizationError, match=f"max_loss={wrong}; expected 0 or more"):
            quantize(mlp(), batches(), prefer="size", max_loss=wrong)
    with pytest.raises(QuantizationError, match="no batches"):
        quantize(mlp(), [], prefer="size")
    with pytest.raises(QuantizationError, match="no batches"):
        quantize(mlp(), batches(), prefer="size", validation=[])
    with pytest.raises(QuantizationError, match="a batch is a Tensor"):
        quantize(mlp(), [[normal(0, 4, 16)]], prefer="size")  # type: ignore[list-item]
    with pytest.raises(QuantizationError, match=r"nan goes into layer layers\.0"):
        quantize(mlp(), [Tensor(np.full((1, 16), np.nan, np.float32))], prefer="size")


def test_a_model_that_is_a_layer_itself_says_what_to_do() -> None:
    for scheme in ("int8", "float16"):
        with pytest.raises(QuantizationError, match=r"itself a Linear; give nn\.Sequential\(layer\)"):
            quantize(Linear(8, 4), [normal(0, 2, 8)], scheme, prefer="size")
    assert run(quantize(Sequential(Linear(8, 4)), [normal(0, 2, 8)], **LOOSE), normal(0, 2, 8)).shape == (
        2,
        4,
    )


def test_weights_of_other_types_are_refused() -> None:
    with pytest.raises(QuantizationError, match="layer with weights of float32"):
        quantize(mlp().to("float64"), [normal(0, 4, 16).to("float64")], prefer="size")


def test_empty_batches_count_for_nothing() -> None:
    some, empty = normal(0, 4, 16), normal(0, 0, 16)
    for scheme in ("int8", "int8-static", "int4-g32"):
        one, two = (quantize(mlp(), made, scheme, **LOOSE) for made in ([some], [empty, some, empty]))
        np.testing.assert_array_equal(run(one, some), run(two, some))
        with pytest.raises(QuantizationError, match="no batches with samples"):
            quantize(mlp(), [empty], scheme, prefer="size")


@pytest.mark.parametrize("scheme", ["int8", "int8-dynamic", "int8-static", "uint8-static", "int4-g32"])
@pytest.mark.parametrize("correct", [False, True])
def test_four_axes_before_a_linear_layer_are_rows_not_images(scheme: str, correct: bool) -> None:
    x, model = normal(0, 2, 3, 5, 16), Sequential(Linear(16, 8))
    q = quantize(model, [x], scheme, correct_bias=correct, **LOOSE)
    flat = quantize(model, [x.reshape(-1, 16)], scheme, correct_bias=correct, **LOOSE)
    np.testing.assert_allclose(run(q, x).reshape(-1, 8), run(flat, x.reshape(-1, 16)), rtol=1e-6)


def test_an_empty_batch_of_images_goes_through() -> None:
    for scheme in ("int8", "int8-dynamic"):
        q = quantize(cnn(), [IMAGES], scheme, **LOOSE)
        assert run(q, normal(0, 0, 1, 4, 4)).shape == (0, 5)


class Asks(Module):
    """Asks its layers for their sizes as it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.conv, self.linear = (
            Embedding(9, 4),
            Conv2d(1, 2, (1, 3), padding=(0, 1)),
            Linear(8, 6),
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids[: self.table.num_embeddings])
        x = self.conv(x.reshape(-1, self.conv.in_channels, 1, self.table.embedding_dim))
        x = self.linear(x.reshape(-1, self.linear.in_features))
        return x.reshape(-1, self.linear.out_features * self.conv.stride[0])


@pytest.mark.parametrize("scheme", ["int8", "int4-g32", "float16"])
def test_layers_on_codes_have_the_sizes_of_what_they_were(scheme: str) -> None:
    q = quantize(Asks(), [ids(0, 5, below=9)], scheme, **LOOSE)
    assert len(q.report().layers) == 3
    assert run(q, ids(1, 4, below=9)).shape == (4, 6)
    assert (q.conv.kernel_size, q.conv.padding, q.conv.groups) == ((1, 3), (0, 1), 1)


def test_parts_and_order_are_those_of_the_network() -> None:
    q = quantize(Sequential(Linear(8, 8), ReLU(), Linear(8, 4)), [normal(0, 2, 8)], **LOOSE)
    assert q[0] is q.network[0]
    assert [type(layer).__name__ for layer in q] == ["QuantizedLinear", "ReLU", "QuantizedLinear"]
    assert not any(module.training for module in q.modules())


def test_loaders_that_are_read_once() -> None:
    one, two = (quantize(mlp(), made, **LOOSE) for made in (iter(batches()), batches()))
    np.testing.assert_array_equal(run(one, normal(1, 4, 16)), run(two, normal(1, 4, 16)))


# ---------------------------------------------------------------- zeros, constants and outliers


EIGHT = ["int8", "int8-static", "int8-tensor", "uint8-static", "int4-g32", "float16"]


@pytest.mark.parametrize("scheme", EIGHT)
def test_zeros_and_constants(scheme: str) -> None:
    model = mlp(16, 8, 8)
    with no_grad():
        weight = model.layers[0].weight.data.copy()
        weight[0], weight[1] = 0.0, 0.25
        model.layers[0].weight.assign_(weight)
        model.layers[2].weight.assign_(np.zeros((8, 8), np.float32))
    x = normal(0, 30, 16).data.copy()
    x[3], x[4] = 0.0, 0.5
    q = quantize(model, [Tensor(x)], scheme, **LOOSE)
    hidden = run(q.layers[0], Tensor(x))
    assert np.isfinite(hidden).all()
    np.testing.assert_array_equal(hidden[:, 0], model.layers[0].bias.data[0])
    np.testing.assert_allclose(hidden[3], model.layers[0].bias.data, rtol=1e-6)
    close(hidden[4], run(model.layers[0], Tensor(x))[4], 0.15)
    np.testing.assert_array_equal(run(q, Tensor(x)), np.broadcast_to(model.layers[2].bias.data, (30, 8)))
    assert q.report().layers[1].sqnr == math.inf


@pytest.mark.parametrize("scheme", EIGHT)
@pytest.mark.parametrize("constant", [0.0, 3.0, -3.0])
def test_inputs_that_are_all_one_number(scheme: str, constant: float) -> None:
    model, x = mlp(16, 8, 5), Tensor(np.full((4, 16), constant, np.float32))
    q = quantize(model, [x], scheme, **LOOSE)
    close(run(q, x), run(model, x), 0.15 if scheme == "int4-g32" else 0.03)
    if constant == 0:
        bias = np.broadcast_to(model.layers[0].bias.data, (4, 8))
        np.testing.assert_array_equal(run(q.layers[0], x), bias)


@pytest.mark.parametrize("scheme", EIGHT)
@pytest.mark.parametrize("where", ["weight", "input"])
def test_a_single_outlier_gives_finite_results(scheme: str, where: str) -> None:
    model, x = mlp(16, 8, 5), normal(0, 40, 16).data.copy()
    if where == "input":
        x[7, 3] = 1e6
    else:
        with no_grad():
            weight = model.layers[0].weight.data.copy()
            weight[2, 3] = 1e6
            model.layers[0].weight.assign_(weight)
    q = quantize(model, [Tensor(x)], scheme, **LOOSE)
    assert np.isfinite(run(q, Tensor(x))).all()
    assert all(np.isfinite(t.data.astype(np.float64)).all() for t in q.state_dict().values())
    report = q.report()
    assert math.isfinite(report.cost)
    if scheme in ("int8", "int8-dynamic"):
        others = np.arange(40) != 7 if where == "input" else np.ones(40, bool)
        close(run(q.layers[0], Tensor(x))[others], run(model.layers[0], Tensor(x))[others], 0.02)


def test_an_outlier_in_a_convolution() -> None:
    model, x = cnn(), IMAGES.data.copy()
    x[2, 0, 1, 1] = 1e6
    for scheme in ("int8", "int8-dynamic", "uint8-static"):
        q = quantize(model, [Tensor(x)], scheme, **LOOSE)
        assert np.isfinite(run(q, Tensor(x))).all()


# ---------------------------------------------------------------- compiled, and from files


FAST: list[tuple[str, str, Any, Any]] = [
    ("mlp", "int8", mlp, normal(3, 4, 16)),
    ("mlp", "uint8-static", mlp, normal(3, 4, 16)),
    ("mlp", "int8-tensor", mlp, normal(3, 4, 16)),
    ("mlp", "int4-g32", mlp, normal(3, 4, 16)),
    ("mlp", "float16", mlp, normal(3, 4, 16)),
    ("cnn", "int8", cnn, IMAGES),
    ("cnn", "int8-dynamic", cnn, IMAGES),
    ("cnn", "uint8-static", cnn, IMAGES),
    ("gpt", "int8", gpt, ids(1, 2, 8)),
    ("gpt", "int4-g32", gpt, ids(1, 2, 8)),
]


@pytest.mark.parametrize(("name", "scheme", "make", "x"), FAST, ids=[f"{n}-{s}" for n, s, *_ in FAST])
def test_compiled_and_from_files_it_gives_the_same(
    name: str, scheme: str, make: Any, x: Tensor, tmp_path: Path
) -> None:
    q = quantize(make(), [x], scheme, **LOOSE)
    expected = run(q, x)
    fast = tt.compile(q)
    with no_grad():
        for _ in range(2):
            close(fast(x).data, expected)
    for compact in (False, True):
        fast.save(tmp_path / f"{compact}.ttp", compact=compact)
        program = tt.load_program(tmp_path / f"{compact}.ttp")
        assert program.stateless
        close(program(x).data, expected)
    assert (tmp_path / "True.ttp").stat().st_size < (tmp_path / "False.ttp").stat().st_size


def test_weights_of_a_model_in_a_file_can_be_quantized(tmp_path: Path) -> None:
    from tinytorch.models import save_weights

    model = mlp()
    save_weights(model, tmp_path / "mlp.safetensors")
    one, two = (quantize(m, batches(), **LOOSE) for m in (model, load_weights(tmp_path / "mlp.safetensors")))
    np.testing.assert_array_equal(run(one, normal(1, 4, 16)), run(two, normal(1, 4, 16)))
