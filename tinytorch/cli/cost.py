"""`tito cost`: what a model would take and cost on other devices, and which to choose."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.profiling.hardware.calibration import Calibration
    from tinytorch.profiling.hardware.cost import Catalogue, Prediction, Range
    from tinytorch.profiling.hardware.workload import Workload

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="cost")
@click.argument("model")
@click.option("--batch", type=click.IntRange(1), help="Batch size of the input.")
@click.option("--seq", type=click.IntRange(1), help="Length of the input's sequences.")
@click.option(
    "--latency", type=click.FloatRange(0, min_open=True), metavar="MS", help="Longest a pass may take."
)
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    metavar="USD",
    help="Most that a million inferences may cost.",
)
@click.option("--dtype", default="float32", show_default=True, help="Dtype to compute in on other devices.")
@click.option(
    "--price", type=click.FloatRange(0, min_open=True), metavar="USD", help="An hour of this machine."
)
@click.option("--devices", type=FILE, metavar="TOML", help="Another catalogue of devices.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of this machine."
)
@click.option("--refresh", is_flag=True, help="Calibrate this machine again.")
@click.option("--sources", is_flag=True, help="Show where the catalogue's figures are from.")
@click.option("--json", "json_file", type=FILE, help="Write the predictions as JSON.")
def command(
    model: str,
    batch: int | None,
    seq: int | None,
    latency: float | None,
    budget: float | None,
    dtype: str,
    price: float | None,
    devices: Path | None,
    threads: int,
    refresh: bool,
    sources: bool,
    json_file: Path | None,
) -> None:
    """Predict latency and cost of MODEL on this machine and on the devices of a catalogue.

    MODEL is what `tito profile` takes (mlp, cnn, gpt, a .safetensors file, path/to/file.py:object), or a
    profile that it wrote with --json. This machine is calibrated once, in some four seconds.
    """
    from tinytorch.errors import ProfilingError
    from tinytorch.profiling.hardware.calibration import calibrate
    from tinytorch.profiling.hardware.cost import BYTES, Catalogue, choose, predict_all
    from tinytorch.threads import set_num_threads
    from tinytorch.training import write_whole

    if dtype not in BYTES:
        raise ProfilingError(f"--dtype {dtype}: expected one of {', '.join(BYTES)}")
    catalogue = Catalogue.load(devices)
    set_num_threads(threads)
    work = _workload(model, batch, seq)
    calibration = calibrate(refresh)
    predictions = predict_all(work, catalogue, calibration, dtype, price)
    choice = choose(predictions, None if latency is None else latency * 1e-3, budget)
    _show(work, predictions, dtype)
    _say_validity(calibration, predictions)
    console.say(f"Choice: {choice.device or 'none'}: {choice.reason}.")
    if sources:
        _show_sources(catalogue)
    if json_file is not None:
        content = {
            "model": work.name,
            "batch": work.batch,
            "dtype": dtype,
            "median_error": calibration.median_error,
            "predictions": [asdict(prediction) for prediction in predictions],
            "choice": asdict(choice),
        }
        write_whole(json_file, json.dumps(content, indent=1).encode())
        console.notice(f"wrote {json_file}")


def _workload(model: str, batch: int | None, seq: int | None) -> Workload:
    """What a pass asks for: counted on a model, or read from a profile."""
    from tinytorch.errors import ProfilingError
    from tinytorch.nn.module import Module
    from tinytorch.profiling.hardware.workload import from_profile, record
    from tinytorch.profiling.load import load
    from tinytorch.profiling.subject import subject_of

    if model.endswith(".json"):
        from tinytorch.profiling.profile import Profile

        if batch is not None or seq is not None:
            raise ProfilingError(f"{model}: a profile has its batch and length; leave --batch and --seq out")
        return from_profile(Profile.load(model))
    loaded = load(model, batch, seq)
    if isinstance(loaded.function, Module):
        loaded.function.eval()
    return record(subject_of(loaded.function, loaded.args), loaded.name)


def _show(work: Workload, predictions: list[Prediction], dtype: str) -> None:
    from tinytorch.profiling import words
    from tinytorch.profiling.statistics import Estimate

    rows = []
    for p in predictions:
        cost = p.cost_per_million
        rows.append(
            [
                p.device,
                words.timed(p.seconds) if isinstance(p.seconds, Estimate) else _range(p.seconds),
                _range(p.launch),
                _range(p.transfer) if p.transfer.high else "",
                "" if cost is None else f"{words.figure(cost.low)} to {words.figure(cost.high)}",
                ("validated" if p.validated else "not validated") + ("" if p.fits else ", does not fit"),
            ]
        )
    done = f"{words.work(work.flops)}, {words.size(work.bytes)} moved"
    title = f"{work.name}: {done} in a pass of {work.batch}, {dtype}"
    columns = ["device", "a pass", "of it calls", "transfer", "USD a million", "status"]
    console.table(title, columns, rows)
    if work.uncounted:
        console.say(f"Without the FLOPs of {', '.join(work.uncounted)}, which have no rule.")


def _range(range_: Range) -> str:
    """Both ends in the unit of the farther one."""
    from tinytorch.profiling import words

    if range_.low == range_.high:
        return words.seconds(range_.high)
    size, unit = words.span(range_.high)
    return f"{words.figure(range_.low / size)} to {words.figure(range_.high / size)} {unit}"


def _say_validity(calibration: Calibration, predictions: list[Prediction]) -> None:
    from tinytorch.profiling import words
    from tinytorch.profiling.hardware.cost import EFFICIENCIES

    if any(p.validated for p in predictions):
        worst = max(calibration.checks, key=lambda check: abs(check.error))
        console.say(
            f"This machine: on {len(calibration.checks)} models held out the median error is "
            f"{words.percent(calibration.median_error)}, the largest {words.percent(abs(worst.error))} "
            f"({worst.name}); measured {calibration.date}."
        )
    low, high = EFFICIENCIES
    console.say(
        f"Not validated: nothing was measured there. A range, of {low:.0%} to {high:.0%} of the catalogue's "
        "peaks and its best and worst cost of a call."
    )
    for note in calibration.notes:
        console.say(note)


def _show_sources(catalogue: Catalogue) -> None:
    from tinytorch.profiling.hardware.cost import Figure, Span

    rows: list[list[object]] = []
    for name, device in catalogue.devices.items():
        figures: dict[str, Figure | Span | None] = {f"flops.{dtype}": f for dtype, f in device.flops.items()}
        figures |= {
            "bandwidth": device.bandwidth,
            "launch": device.launch,
            "memory": device.memory,
            "transfer": device.transfer,
            "price": device.price,
        }
        for what, figure in figures.items():
            if figure is not None:
                value = (
                    f"{figure.low:g} to {figure.high:g}" if isinstance(figure, Span) else f"{figure.value:g}"
                )
                rows.append([name, what, value, f"{figure.source} ({figure.as_of})"])
    console.table("Where figures are from", ["device", "figure", "value", "source, and when it held"], rows)
