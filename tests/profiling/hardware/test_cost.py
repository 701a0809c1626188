"""Predictions and costs against figures worked out by hand, the catalogue's checks, and what is chosen."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.errors import ProfilingError
from tinytorch.profiling.hardware.calibration import Calibration, Check
from tinytorch.profiling.hardware.cost import (
    BYTES,
    CATALOGUE,
    HERE,
    Catalogue,
    Device,
    Figure,
    Prediction,
    Range,
    Span,
    choose,
    predict,
    predict_all,
    predict_here,
)
from tinytorch.profiling.hardware.rates import KINDS, Rates
from tinytorch.profiling.hardware.workload import Demand, Workload
from tinytorch.profiling.statistics import Estimate

DAY = date(2026, 1, 1)


def figure(value: float) -> Figure:
    return Figure(value, "a datasheet", DAY)


GPU = Device(
    title="a GPU",
    flops={"float32": figure(1e12), "float16": figure(8e12)},
    bandwidth=figure(1e11),
    launch=Span(1e-6, 4e-6, "a blog", DAY),
    memory=figure(1e9),
    transfer=figure(1e10),
    price=figure(3.6),
)
WORK = Workload(
    "model",
    (
        Demand("linear", 2.1e9, 1e6, 2e9, 2),  # 2.1 ms of FLOPs, 0.01 ms of bytes
        Demand("add", 1e6, 1e8, 0, 3),  # 0.001 ms of FLOPs, 1 ms of bytes
        Demand("reshape", 0, 0, 0, 7),
    ),
    input_bytes=6_000_000,
    output_bytes=2_000_000,
    parameter_bytes=900_000_000,
    batch=4,
)


# ---------------------------------------------------------------- predictions


def test_a_prediction_by_hand() -> None:
    found = predict(WORK, GPU, "gpu")
    kernels, transfer, calls = 2.1e-3 + 1e-3, 8e6 / 1e10, 2 + 3 + 2  # views launch nothing, two copies do
    assert (found.launch.low, found.launch.high) == pytest.approx((calls * 1e-6, calls * 4e-6))
    assert (found.transfer.low, found.transfer.high) == pytest.approx((transfer / 0.8, transfer / 0.2))
    assert found.seconds.low == pytest.approx(kernels / 0.8 + calls * 1e-6 + transfer / 0.8)
    assert found.seconds.high == pytest.approx(kernels / 0.2 + calls * 4e-6 + transfer / 0.2)
    assert found.cost_per_million is not None
    # 3.6 USD an hour are 1,000 USD a million seconds; 4 inferences in a pass
    assert found.cost_per_million.low == pytest.approx(found.seconds.low * 1000 / 4)
    assert found.cost_per_million.high == pytest.approx(found.seconds.high * 1000 / 4)
    assert (found.device, found.title, found.fits) == ("gpu", "a GPU", True)


def test_a_device_nobody_measured_gets_a_range_and_is_not_validated() -> None:
    found = predict(WORK, GPU)
    assert isinstance(found.seconds, Range)
    assert not found.validated


def test_half_precision_runs_products_faster_and_moves_half() -> None:
    found = predict(replace(WORK, input_bytes=0, output_bytes=0), GPU, dtype="float16")
    kernels = (2e9 / 8e12 + 0.1e9 / 1e12) + 1e8 / 2 / 1e11  # a linear layer's other FLOPs stay float32
    assert found.seconds.low == pytest.approx(kernels / 0.8 + 7e-6)


def test_memory_that_is_shared_needs_no_transfer() -> None:
    shared = msgspec.structs.replace(GPU, transfer=None, price=None)
    found = predict(WORK, shared)
    assert found.transfer == Range(0.0, 0.0)
    assert found.launch.low == pytest.approx(5e-6)
    assert found.cost_per_million is None


def test_a_model_that_does_not_fit() -> None:
    assert not predict(replace(WORK, parameter_bytes=999_000_000), GPU).fits
    assert predict(replace(WORK, parameter_bytes=999_000_000), GPU, dtype="float16").fits


def test_a_dtype_without_a_peak() -> None:
    with pytest.raises(ProfilingError, match="a GPU: no peak for int8; the catalogue has float32, float16"):
        predict(WORK, GPU, dtype="int8")


@given(
    what=st.sampled_from(["flops", "bandwidth", "transfer"]),
    factor=st.floats(1.0, 1e3),
    scale=st.floats(1.0, 1e3),
)
def test_better_devices_are_no_slower_and_more_work_is_no_faster(
    what: str, factor: float, scale: float
) -> None:
    better: Device = {
        "flops": msgspec.structs.replace(GPU, flops={"float32": figure(1e12 * factor)}),
        "bandwidth": msgspec.structs.replace(GPU, bandwidth=figure(1e11 * factor)),
        "transfer": msgspec.structs.replace(GPU, transfer=figure(1e10 * factor)),
    }[what]
    more = replace(WORK, ops=(*WORK.ops, Demand("add", 1e6 * scale, 1e6 * scale, 0)))
    now = predict(WORK, GPU).seconds
    assert predict(WORK, better).seconds.low <= now.low * (1 + 1e-12)
    assert predict(WORK, better).seconds.high <= now.high * (1 + 1e-12)
    assert predict(more, GPU).seconds.low > now.low


RATES = {kind: Rates(1e-3) for kind in KINDS}
CALIBRATION = Calibration(1, "", RATES, (Check("a", 1.0, 1.1), Check("b", 1.0, 0.9)))


def test_this_machine_is_validated_and_gets_an_interval() -> None:
    found = predict_here(WORK, CALIBRATION, price=3.6)
    assert isinstance(found.seconds, Estimate)
    assert found.seconds == CALIBRATION.seconds(WORK)
    assert found.seconds.value == pytest.approx(12e-3)
    assert found.validated
    assert found.launch == Range(pytest.approx(12e-3), pytest.approx(12e-3))
    assert found.seconds.low is not None
    assert found.cost_per_million is not None
    assert found.cost_per_million.low == pytest.approx(found.seconds.low * 1000 / 4)
    assert predict_here(WORK, CALIBRATION).cost_per_million is None


def test_all_predictions_leave_out_devices_without_the_dtype() -> None:
    catalogue = Catalogue({"gpu": GPU, "old": msgspec.structs.replace(GPU, flops={"float32": figure(1.0)})})
    assert [p.device for p in predict_all(WORK, catalogue, CALIBRATION)] == [HERE, "gpu", "old"]
    assert [p.device for p in predict_all(WORK, catalogue)] == ["gpu", "old"]
    assert [p.device for p in predict_all(WORK, catalogue, CALIBRATION, "float16")] == ["gpu"]


# ---------------------------------------------------------------- the catalogue


def test_the_catalogue_that_ships() -> None:
    devices = Catalogue.load().devices
    assert len(devices) >= 6
    for name, device in devices.items():
        figures = [*device.flops.values(), device.bandwidth, device.memory, device.transfer, device.price]
        for found in [f for f in figures if f is not None]:
            assert len(found.source) > 5, name
            assert date(2015, 1, 1) < found.as_of < date(2030, 1, 1), name
        assert device.price is not None
        assert (device.transfer is None) == name.startswith("cpu-")
        assert device.launch.low < device.launch.high < 1e-3
        assert 1 < device.flops["float32"].value / device.bandwidth.value < 128, "FLOPs a byte at the ridge"


def test_published_figures() -> None:
    """From NVIDIA's datasheets: A100 40 GB SXM and H100 SXM, dense."""
    devices = Catalogue.load().devices
    a100, h100 = devices["gpu-a100"], devices["gpu-h100"]
    assert (a100.flops["float32"].value, a100.flops["float16"].value, a100.bandwidth.value) == (
        19.5e12,
        312e12,
        1555e9,
    )
    assert (h100.flops["float32"].value, h100.flops["float16"].value, h100.bandwidth.value) == (
        67e12,
        989e12,
        3.35e12,
    )


ENTRY = """
[box]
title = "a box"
memory = { value = 1e9, source = "s", as_of = 2026-01-01 }
bandwidth = { value = 1e9, source = "s", as_of = 2026-01-01 }
launch = { low = 1e-6, high = 2e-6, source = "s", as_of = 2026-01-01 }

[box.flops]
float32 = { value = 1e9, source = "s", as_of = 2026-01-01 }
"""


def load(folder: Path, text: str) -> Catalogue:
    path = folder / "devices.toml"
    path.write_text(text, encoding="utf-8")
    return Catalogue.load(path)


def test_the_least_entry(tmp_path: Path) -> None:
    box = load(tmp_path, ENTRY).devices["box"]
    assert (box.transfer, box.price, box.flops["float32"].value) == (None, None, 1e9)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[box]", "[box", "not TOML"),
        (ENTRY, "", "describes no device"),
        ('title = "a box"', "", r"`title` - at `box`"),
        ('title = "a box"', "title = 3", r"at `box.title`"),
        ('title = "a box"', 'title = ""', r"at `box.title`"),
        ("bandwidth = {", "bandwith = {", r"`bandwith` - at `box`"),
        ("bandwidth = { value = 1e9", "bandwidth = { value = -1e9", r"> 0.0 - at `box.bandwidth.value`"),
        ("bandwidth = { value = 1e9", "bandwidth = { value = 0", r"at `box.bandwidth.value`"),
        ("bandwidth = { value = 1e9", "bandwidth = { value = nan", r"at `box.bandwidth.value`"),
        ("bandwidth = { value = 1e9", "bandwidth = { value = inf", r"at `box.bandwidth.value`"),
        ("bandwidth = { value = 1e9", 'bandwidth = { value = "1e9"', r"at `box.bandwidth.value`"),
        (
            'bandwidth = { value = 1e9, source = "s", ',
            "bandwidth = { value = 1e9, ",
            r"`source` - at `box.bandwidth`",
        ),
        ("low = 1e-6", "low = 3e-6", r"`box.launch`: low 3e-06 is above 2e-06"),
        ("launch = {", "launch = 5 #", r"at `box.launch`"),
        ("float32 = {", "float16 = {", r"`box.flops` lacks float32"),
        (
            "float32 = {",
            "fp4 = { value = 1e9, source = 's', as_of = 2026-01-01 }\nfloat32 = {",
            "'fp4' is none of",
        ),
        ("float32 = { value = 1e9", "float32 = { value = -1", r"at `box.flops\[...\].value`"),
        (ENTRY, "box = 3", "at `box`"),
    ],
)
def test_catalogues_that_are_wrong(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ProfilingError, match=says) as caught:
        load(tmp_path, ENTRY.replace(old, new))
    assert "devices.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_catalogues_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProfilingError, match="cannot be read"):
        Catalogue.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfilingError, match="cannot be read"):
        Catalogue.load(tmp_path / "bytes.toml")


@given(cut=st.integers(0, 12_000))
def test_a_catalogue_cut_off_loads_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    text = CATALOGUE.read_text(encoding="utf-8")[:cut]
    folder = tmp_path_factory.mktemp("cut")
    try:
        devices = load(folder, text).devices
    except ProfilingError:
        return
    assert devices
    assert all(set(device.flops) <= set(BYTES) for device in devices.values())


# ---------------------------------------------------------------- choosing


def device(
    name: str, low: float, high: float, cost: tuple[float, float] | None, fits: bool = True
) -> Prediction:
    nothing = Range(0.0, 0.0)
    return Prediction(
        name, name, Range(low, high), False, nothing, nothing, Range(*cost) if cost else None, fits
    )


FAST = device("fast", 1e-3, 2e-3, (6.0, 12.0))
MIDDLE = device("middle", 3e-3, 6e-3, (2.0, 4.0))
SLOW = device("slow", 1e-2, 2e-2, (0.5, 1.0))
FREE = device("free", 1.5e-3, 3e-3, None)
ALL = [SLOW, FREE, FAST, MIDDLE]


@pytest.mark.parametrize(
    ("latency", "budget", "chosen", "says"),
    [
        (None, None, "slow", "the cheapest"),
        (0.02, None, "slow", "the cheapest of those sure to keep within 20 ms a pass"),
        (0.019, None, "middle", "the cheapest of those sure to keep within 19 ms a pass"),
        (0.0059, None, "fast", "the cheapest of those sure"),
        (0.0019, None, "fast", "the cheapest of those that may keep within 1.9 ms a pass; none is sure to"),
        (0.0005, None, None, "no device can keep within 0.5 ms a pass: fast takes 1 ms at best"),
        (None, 12.0, "fast", "the fastest of those sure to keep within 12 USD a million inferences"),
        (None, 4.0, "middle", "the fastest of those sure"),
        (None, 0.9, "slow", "the fastest of those that may keep within 0.9 USD"),
        (None, 0.1, None, "slow costs 0.5 USD at best"),
        (0.006, 4.0, "middle", "sure to keep within 6 ms a pass and 4 USD a million inferences"),
        (0.002, 4.0, None, "fast takes 1 ms at best, and slow costs 0.5 USD at best"),
    ],
)
def test_choices(latency: float | None, budget: float | None, chosen: str | None, says: str) -> None:
    found = choose(ALL, latency, budget)
    assert found.device == chosen
    assert says in found.reason


def test_without_a_price_a_device_is_a_last_resort() -> None:
    assert choose([FREE, SLOW], latency=0.003).device == "free"
    assert choose([FREE, FAST], latency=0.003).device == "fast"
    assert choose([FREE], latency=0.003).reason.startswith("the fastest of those sure")
    assert "no price is known" in choose([FREE], budget=1.0).reason


def test_what_does_not_fit_is_not_chosen() -> None:
    assert choose([replace(SLOW, fits=False), FAST]).device == "fast"
    assert choose([replace(SLOW, fits=False)]).reason.startswith("the model fits into the memory of none")


def test_an_open_interval_is_never_sure() -> None:
    opened = replace(FAST, seconds=Estimate(1e-3, 0.5e-3, None))
    assert "none is sure to" in choose([opened], latency=1.0).reason


@given(
    latency=st.one_of(st.none(), st.floats(1e-5, 1)),
    budget=st.one_of(st.none(), st.floats(1e-2, 100)),
    factor=st.floats(1, 10),
)
def test_a_looser_target_never_leaves_less_to_choose(
    latency: float | None, budget: float | None, factor: float
) -> None:
    found = choose(ALL, latency, budget)
    looser = choose(ALL, latency and latency * factor, budget and budget * factor)
    if found.device is not None:
        assert looser.device is not None
        chosen = next(p for p in ALL if p.device == found.device)
        assert latency is None or chosen.seconds.low <= latency
        assert budget is None or (
            chosen.cost_per_million is not None and chosen.cost_per_million.low <= budget
        )


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_targets_that_make_no_sense(target: float) -> None:
    with pytest.raises(ProfilingError, match="a latency of"):
        choose(ALL, latency=target)
    with pytest.raises(ProfilingError, match="a budget of"):
        choose(ALL, budget=target)


def test_nothing_to_choose_from() -> None:
    with pytest.raises(ProfilingError, match="no device to choose from"):
        choose([])
