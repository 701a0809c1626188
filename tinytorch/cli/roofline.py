"""`tito roofline`: what this machine can do at most, in FLOPs and in bytes from each level of memory."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tinytorch import console


@click.command(name="roofline")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads to measure.")
@click.option("--refresh", is_flag=True, help="Measure again, not what was kept.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the figures as JSON.",
)
def command(threads: int, refresh: bool, json_file: Path | None) -> None:
    """Show the roofs of this machine: its peak FLOP/s, and the bandwidth of its caches and memory.

    They are measured in about a second, and kept once two measurements agree.
    """
    from tinytorch.profiling import words
    from tinytorch.profiling.hardware.roofline import measure_roof, product_rate
    from tinytorch.threads import set_num_threads
    from tinytorch.training import write_whole

    set_num_threads(threads)
    roof = measure_roof(threads, refresh)
    product = product_rate()
    rows = [["multiply-adds", "", words.rate(roof.flops), words.percent(roof.spread.get("flops")), ""]]
    rows += [
        [
            level,
            words.size(roof.sizes[level]) if level in roof.sizes else "",
            words.bandwidth(rate),
            words.percent(roof.spread.get(level)),
            f"{words.figure(roof.flops / rate)} FLOP/byte",
        ]
        for level, rate in roof.bandwidths.items()
    ]
    console.table(
        f"Roofs of this machine ({roof.dtype}, {roof.threads} thread{'s' if roof.threads > 1 else ''})",
        ["what", "holds", "roof", "median below", "compute-bound from"],
        rows,
    )
    share = product / roof.flops
    console.say(
        f"BLAS multiplies 1024 x 1024 at {words.rate(product)}, {words.percent(share)} of the peak. "
        f"A call of NumPy costs {words.seconds(roof.call)}."
    )
    if share > 1:
        console.say("That is more than the peak: something disturbed its measurement. Repeat with --refresh.")
    if not roof.confirmed:
        console.say("Measured once: the next call measures again, and keeps the better, until two agree.")
    for note in roof.notes:
        console.say(note)
    if json_file is not None:
        write_whole(json_file, json.dumps({**asdict(roof), "product": product}, indent=1).encode())
        console.notice(f"wrote {json_file}")
