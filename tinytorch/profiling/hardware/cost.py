"""What a model would take and cost, on other devices and on this machine, and which to choose."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tinytorch.errors import ProfilingError
from tinytorch.profiling.hardware.calibration import Calibration
from tinytorch.profiling.hardware.rates import kind_of
from tinytorch.profiling.hardware.workload import Workload
from tinytorch.profiling.statistics import Estimate

CATALOGUE = Path(__file__).with_name("devices.toml")
HERE = "this machine"
EFFICIENCIES = (0.2, 0.8)
"""Shares of its peaks that a program reaches on a device nobody measured, from the worst to the best.

The low end is what large language models reached in training: 21 % (GPT-3) to 46 % (PaLM) of the peak FLOP/s,
Chowdhery et al., "PaLM: scaling language modeling with pathways", 2022, table 3. The high end is what tuned
matrix products and reads of memory come to, between 80 and 90 %. Small work can fall below the range.
"""
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}

_Positive = Annotated[float, Meta(gt=0, lt=1e30)]
_Text = Annotated[str, Meta(min_length=1)]


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure, where it is from, and the date at which it held."""

    value: _Positive
    source: _Text
    as_of: date


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure known only between two ends, where it is from, and the date at which it held."""

    low: _Positive
    high: _Positive
    source: _Text
    as_of: date


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device of the catalogue: peak FLOP/s by dtype, bytes/s of its memory and of the way to it, price.

    `launch`: seconds of a call of one op. `transfer`: None where the host's memory is the device's.
    """

    title: _Text
    flops: dict[str, Figure]
    bandwidth: Figure
    launch: Span
    memory: Figure
    transfer: Figure | None = None
    price: Figure | None = None


@dataclass(frozen=True)
class Catalogue:
    """Devices by name."""

    devices: dict[str, Device]

    @classmethod
    def load(cls, path: str | Path | None = None) -> Catalogue:
        """The catalogue in a TOML file, or the one that ships.

        Raises ProfilingError, naming file and key, for a file that is missing or no TOML, for a key that is
        missing or unknown, and for figures that are not positive.

        >>> "gpu-t4" in Catalogue.load().devices
        True
        """
        path = CATALOGUE if path is None else Path(path)
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ProfilingError(f"{path}: cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise ProfilingError(f"{path}: not TOML: {error}") from None
        devices = {name: _device(path, name, table) for name, table in found.items()}
        if not devices:
            raise ProfilingError(f"{path}: describes no device")
        return cls(devices)


def _device(path: Path, name: str, table: object) -> Device:
    try:
        device = msgspec.convert(table, Device)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", f"`{name}.").replace("`$`", f"`{name}`")
        where = "" if f"`{name}" in text else f" - at `{name}`"
        raise ProfilingError(f"{path}: {text}{where}") from None
    if "float32" not in device.flops:
        raise ProfilingError(
            f"{path}: `{name}.flops` lacks float32, by which ops other than products are held"
        )
    if unknown := sorted(set(device.flops) - set(BYTES)):
        raise ProfilingError(f"{path}: `{name}.flops`: {unknown[0]!r} is none of {', '.join(BYTES)}")
    if device.launch.low > device.launch.high:
        raise ProfilingError(
            f"{path}: `{name}.launch`: low {device.launch.low} is above {device.launch.high}"
        )
    return device


# ---------------------------------------------------------------- predictions


@dataclass(frozen=True)
class Range:
    """The ends between which a figure lies if the assumptions hold: no interval, as nothing was measured."""

    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """One pass on one device, in seconds: an Estimate where the model was validated there, else a Range.

    `launch` and `transfer` are the parts of it that are calls, and the way of inputs and outputs to the
    device and back; weights are there already. `cost_per_million` is in USD for a million inferences, the
    device being paid for no longer than it computes; None where no price is known. `fits`: whether weights,
    inputs and outputs fit into its memory.
    """

    device: str
    title: str
    seconds: Estimate | Range
    validated: bool
    launch: Range
    transfer: Range
    cost_per_million: Range | None
    fits: bool = True


def predict(work: Workload, device: Device, name: str = "", dtype: str = "float32") -> Prediction:
    """Predict a pass on a device of the catalogue, from its peaks: "not validated", so with a range.

    Seconds are the sum over ops of max(FLOPs / attainable, bytes / bandwidth) + calls * launch, and the
    transfer of inputs and outputs, with a launch each. Attainable are `EFFICIENCIES` of the peaks; products
    run at the peak of `dtype`, all else at that of float32, and views cost nothing. Bytes scale with the
    dtype. Raises ProfilingError for a dtype without a peak.

    >>> from tinytorch.profiling.hardware.workload import Demand
    >>> work = Workload("product", (Demand("matmul", 2e12, 24e6, 2e12),))
    >>> found = predict(work, Catalogue.load().devices["gpu-a100"])
    >>> round(found.seconds.low, 3), round(found.seconds.high, 3)
    (0.128, 0.513)
    """
    if dtype not in device.flops:
        raise ProfilingError(
            f"{device.title}: no peak for {dtype}; the catalogue has {', '.join(device.flops)}"
        )
    size = BYTES[dtype] / BYTES["float32"]
    kernels = 0.0
    calls = 0.0
    for op in work.ops:
        products = op.matmul_flops / device.flops[dtype].value
        others = (op.flops - op.matmul_flops) / device.flops["float32"].value
        kernels += max(products + others, op.bytes * size / device.bandwidth.value)
        calls += op.calls if op.bytes else 0
    moved = 0.0
    if device.transfer is not None:
        moved = (work.input_bytes + work.output_bytes) * size / device.transfer.value
        calls += 2
    worst, best = EFFICIENCIES
    launch = Range(calls * device.launch.low, calls * device.launch.high)
    transfer = Range(moved / best, moved / worst)
    seconds = Range(kernels / best + launch.low + transfer.low, kernels / worst + launch.high + transfer.high)
    hourly = None if device.price is None else device.price.value
    held = (work.parameter_bytes + work.input_bytes + work.output_bytes) * size
    cost = _per_million(seconds.low, seconds.high, hourly, work.batch)
    fits = held <= device.memory.value
    return Prediction(name or device.title, device.title, seconds, False, launch, transfer, cost, fits)


def predict_here(work: Workload, calibration: Calibration, price: float | None = None) -> Prediction:
    """Predict a pass on this machine from its measured rates; the interval is from models held out.

    Nothing is transferred, and calls cost what they cost for each class of op. `price`: USD an hour.
    """
    seconds = calibration.seconds(work)
    calls = sum(op.calls * calibration.rates[kind_of(op)].call for op in work.ops)
    low, high = (seconds.value if end is None else end for end in (seconds.low, seconds.high))
    cost = _per_million(low, high, price, work.batch)
    return Prediction(HERE, HERE, seconds, True, Range(calls, calls), Range(0.0, 0.0), cost)


def predict_all(
    work: Workload,
    catalogue: Catalogue,
    calibration: Calibration | None = None,
    dtype: str = "float32",
    price: float | None = None,
) -> list[Prediction]:
    """Predictions for this machine, if it is calibrated, and for each device that has a peak for the dtype.

    `price` is that of this machine, in USD an hour.
    """
    here = [predict_here(work, calibration, price)] if calibration is not None and dtype == "float32" else []
    devices = catalogue.devices.items()
    return here + [predict(work, d, name, dtype) for name, d in devices if dtype in d.flops]


def _per_million(low: float, high: float, price: float | None, batch: int) -> Range | None:
    if price is None:
        return None
    factor = price / 3600 * 1e6 / max(batch, 1)
    return Range(low * factor, high * factor)


# ---------------------------------------------------------------- which to choose


@dataclass(frozen=True)
class Choice:
    """The device to take, None if none will do, and why."""

    device: str | None
    reason: str


def choose(
    predictions: Sequence[Prediction], latency: float | None = None, budget: float | None = None
) -> Choice:
    """Which device to take for a latency (seconds a pass) and a budget (USD for a million inferences).

    A device is sure to do where the far ends of its prediction keep within both, and may do where the near
    ends do. The cheapest of those that are sure is chosen, by its far end; with a budget alone the fastest;
    where none is sure, the same among those that may do, and the reason says so. A device without a price
    is chosen only where there is no budget, and none with a price will do. Raises ProfilingError where
    there is nothing to choose from, or a target is not positive.

    >>> fast = Prediction("fast", "", Range(1e-3, 2e-3), False, Range(0, 0), Range(0, 0), Range(5.0, 10.0))
    >>> slow = Prediction("slow", "", Range(5e-3, 9e-3), False, Range(0, 0), Range(0, 0), Range(1.0, 2.0))
    >>> choose([fast, slow]).device, choose([fast, slow], latency=3e-3).device
    ('slow', 'fast')
    """
    for what, target in (("latency", latency), ("budget", budget)):
        if target is not None and not 0 < target < math.inf:
            raise ProfilingError(f"choose: a {what} of {target}; expected a positive number")
    if not predictions:
        raise ProfilingError("choose: no device to choose from")
    fitting = [p for p in predictions if p.fits]
    sure = [p for p in fitting if _within(p, latency, budget, sure=True)]
    may = [p for p in fitting if _within(p, latency, budget, sure=False)]
    if not may:
        return Choice(None, _why_none(fitting, _targets(latency, budget), latency, budget))
    by_speed = latency is None and budget is not None
    best = min(sure or may, key=lambda p: _rank(p, by_speed))
    superlative = "fastest" if by_speed or best.cost_per_million is None else "cheapest"
    if latency is None and budget is None:
        return Choice(best.device, f"the {superlative}; no latency or budget was asked for")
    if sure:
        return Choice(
            best.device, f"the {superlative} of those sure to keep within {_targets(latency, budget)}"
        )
    return Choice(
        best.device,
        f"the {superlative} of those that may keep within {_targets(latency, budget)}; none is sure to",
    )


def _ends(seconds: Estimate | Range) -> Range:
    """Both ends; one that an interval leaves open is without bound."""
    low = 0.0 if seconds.low is None else seconds.low
    return Range(low, math.inf if seconds.high is None else seconds.high)


def _within(prediction: Prediction, latency: float | None, budget: float | None, sure: bool) -> bool:
    """Whether the far ends (or, unless it must be sure, the near ends) keep latency and budget."""
    seconds, cost = _ends(prediction.seconds), prediction.cost_per_million
    if latency is not None and (seconds.high if sure else seconds.low) > latency:
        return False
    if budget is None:
        return True
    return cost is not None and (cost.high if sure else cost.low) <= budget


def _rank(prediction: Prediction, by_speed: bool) -> tuple[bool, float, float]:
    """What the choice goes by, least first: the far end of the time, or of the cost where it is known."""
    seconds, cost = _ends(prediction.seconds).high, prediction.cost_per_million
    if by_speed:
        return (False, seconds, 0.0)
    return (cost is None, 0.0 if cost is None else cost.high, seconds)


def _targets(latency: float | None, budget: float | None) -> str:
    """The targets in words."""
    parts = [] if latency is None else [f"{latency * 1e3:g} ms a pass"]
    return " and ".join([*parts, *([] if budget is None else [f"{budget:g} USD a million inferences"])])


def _why_none(
    fitting: Sequence[Prediction], targets: str, latency: float | None, budget: float | None
) -> str:
    """Why nothing will do: what comes nearest to each target."""
    if not fitting:
        return "the model fits into the memory of none of these devices"
    parts = []
    if latency is not None:
        fastest = min(fitting, key=lambda p: _ends(p.seconds).low)
        parts.append(f"{fastest.device} takes {_ends(fastest.seconds).low * 1e3:.3g} ms at best")
    priced = [p for p in fitting if p.cost_per_million is not None]
    if budget is not None:
        costs = [(p.cost_per_million.low, p.device) for p in priced if p.cost_per_million is not None]
        parts.append(
            f"{min(costs)[1]} costs {min(costs)[0]:.3g} USD at best" if costs else "no price is known"
        )
    return f"no device can keep within {targets}: {', and '.join(parts)}"
