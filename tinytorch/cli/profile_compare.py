"""`tito profile compare`: time, work and memory of architectures side by side, and how they scale."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.profiling.advice.architectures import Architecture
    from tinytorch.profiling.advice.crossover import AttentionShare, Crossover
    from tinytorch.profiling.advice.scaling import Scaling
    from tinytorch.profiling.load import Loaded
    from tinytorch.profiling.statistics import Estimate

FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
ROUNDS, QUICK_ROUNDS = 40, 20
SCALING_ROUNDS, QUICK_SCALING_ROUNDS = 20, 12
QUICK_LENGTHS = (32, 64, 128, 256)


@click.command(name="compare")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--batch", type=click.IntRange(1), help="Batch size of every input.")
@click.option("--quick", is_flag=True, help="Fewer rounds and smaller sizes: wider intervals.")
@click.option("--scaling", is_flag=True, help="Also how time and FLOPs grow with batch, width and length.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads to compute with."
)
@click.option("--json", "json_file", type=FILE, help="Write the figures as JSON.")
def command(
    models: tuple[str, ...],
    batch: int | None,
    quick: bool,
    scaling: bool,
    threads: int,
    json_file: Path | None,
) -> None:
    """Set the forward passes of architectures side by side: time, FLOPs, bytes, memory, intensity.

    MODEL is what `tito profile` takes; without any, mlp, cnn and gpt are compared. Times are measured in
    turns. Where there is attention, its share of the time is measured as well.
    """
    from tinytorch.profiling.advice.architectures import side_by_side
    from tinytorch.profiling.hardware.roofline import measure_roof
    from tinytorch.profiling.load import load
    from tinytorch.threads import set_num_threads
    from tinytorch.training import write_whole

    set_num_threads(threads)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    loaded = [load(name, batch) for name in models or ("mlp", "cnn", "gpt")]
    found = side_by_side(loaded, rounds, measure_roof(threads))
    _show(found, threads)
    shares = _shares(loaded, batch or 1, rounds)
    grown: list[Scaling] = []
    crossed: Crossover | None = None
    if scaling:
        grown, crossed = _scaling(loaded, quick, bool(shares))
    if json_file is not None:
        content = {
            "threads": threads,
            "models": [asdict(one) for one in found],
            "attention": {name: asdict(share) for name, share in shares.items()},
            "scaling": [asdict(one) for one in grown],
            "crossover": None if crossed is None else asdict(crossed),
        }
        write_whole(json_file, json.dumps(content, indent=1).encode())
        console.notice(f"wrote {json_file}")


def _show(found: Sequence[Architecture], threads: int) -> None:
    """Models side by side, a figure a line."""
    from tinytorch.profiling import words

    def part(one: Architecture) -> str:
        return words.percent(None if one.allowed is None else one.allowed / one.seconds.value)

    lines = {
        "input": [one.inputs for one in found],
        "a pass (median)": [words.timed(one.seconds) for one in found],
        f"times {found[0].name}'s": ["1x", *(words.times(one.against) for one in found[1:])],
        "an inference": [words.seconds(one.seconds.value / one.batch) for one in found],
        "work": [words.work(one.flops) for one in found],
        "bytes moved": [words.size(one.moved) for one in found],
        "intensity, FLOP/byte": [words.figure(one.intensity) for one in found],
        "reached": [words.rate(one.rate) for one in found],
        "of what the roof allows": [part(one) for one in found],
        "memory a pass adds": [words.size(one.peak) for one in found],
        "parameters": [words.count(one.parameters) for one in found],
        "ops": [words.count(one.ops) for one in found],
    }
    title = f"Forward passes, {threads} thread{'s' if threads > 1 else ''}"
    console.table(title, ["", *(one.name for one in found)], [[name, *row] for name, row in lines.items()])


def _shares(loaded: Sequence[Loaded], batch: int, rounds: int) -> dict[str, AttentionShare]:
    """What attention takes of the models that have it and read token ids."""
    from tinytorch.nn.attention import MultiHeadAttention
    from tinytorch.nn.module import Module
    from tinytorch.profiling.advice.crossover import attention_share

    found = {}
    for one in loaded:
        model = one.function
        if not isinstance(model, Module) or model.example_input is None:
            continue
        has_attention = any(isinstance(part, MultiHeadAttention) for part in model.modules())
        if has_attention and model.example_input.dtype.kind == "i":
            found[one.name] = attention_share(model, batch, rounds=rounds)
            console.say(f"{one.name}: {found[one.name]}")
    return found


def _scaling(
    loaded: Sequence[Loaded], quick: bool, has_attention: bool
) -> tuple[list[Scaling], Crossover | None]:
    from tinytorch.nn.module import Module
    from tinytorch.profiling.advice.crossover import LENGTHS, crossover
    from tinytorch.profiling.advice.scaling import attention_scaling, model_scaling

    models = [one.function for one in loaded if isinstance(one.function, Module)]
    rounds = QUICK_SCALING_ROUNDS if quick else SCALING_ROUNDS
    lengths = QUICK_LENGTHS if quick else LENGTHS
    grown = [
        one
        for model in models
        if model.example_input is not None
        for one in model_scaling(model, quick, rounds)
    ]
    crossed = None
    if has_attention:
        grown.append(attention_scaling(lengths, rounds=rounds))
    _show_scaling(grown)
    if has_attention:
        crossed = crossover(lengths=lengths, rounds=rounds)
        _show_crossover(crossed)
    return grown, crossed


def _show_scaling(grown: Sequence[Scaling]) -> None:
    rows = [
        [
            one.name,
            f"{one.axis} {one.sizes[0]} to {one.sizes[-1]}",
            _exponent(one.flops_exponent),
            _exponent(one.time_exponent),
            _exponent(one.at_the_end),
        ]
        for one in grown
    ]
    columns = ["what", "as it grows in", "FLOPs", "time", "time, last step"]
    console.table("Exponents: twice the size takes 2 to that power", columns, rows)
    console.say(
        "An interval over all sizes includes what a power law misses; that of the last step, between the two "
        "largest sizes, is of repeated measurements."
    )


def _exponent(estimate: Estimate) -> str:
    ends = (estimate.low, estimate.high)
    shown = [f"{estimate.value:.2f}", *("-" if end is None else f"{end:.2f}" for end in ends)]
    if ends == (None, None) or shown[0] == shown[1] == shown[2]:
        return shown[0]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _show_crossover(crossed: Crossover) -> None:
    from tinytorch.profiling import words

    rows = [
        [words.count(length), words.shared(core), words.shared(module)]
        for length, core, module in zip(crossed.lengths, crossed.core, crossed.module, strict=True)
    ]
    console.table(
        "Attention in a transformer block, share of its time",
        ["tokens", "scores, softmax, weighted sum", "with projections"],
        rows,
    )
    console.say(str(crossed))
