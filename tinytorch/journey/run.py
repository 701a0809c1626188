"""The journey itself: every stage for every model, then the report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinytorch import console, models
from tinytorch.errors import DataError
from tinytorch.journey import report
from tinytorch.journey.accelerate import AccelerateStage
from tinytorch.journey.benchmark import BenchmarkStage
from tinytorch.journey.cache import CacheStage
from tinytorch.journey.compress import CompressStage
from tinytorch.journey.profile import ProfileStage
from tinytorch.journey.quantize import QuantizeStage
from tinytorch.journey.stage import FULL, Journey, Scale, Stage
from tinytorch.journey.train import Train
from tinytorch.profiling.environment import describe
from tinytorch.training import require_writable, write_whole

STAGES: list[Stage[Any]] = [
    Train(),
    ProfileStage(),
    AccelerateStage(),
    QuantizeStage(),
    CompressStage(),
    CacheStage(),
    BenchmarkStage(),
]


def take_journey(
    names: Sequence[str],
    out: str | Path,
    *,
    scale: Scale = FULL,
    seed: int = 0,
    command: str = "take_journey",
    picture: str | Path | None = None,
    stages: Sequence[Stage[Any]] | None = None,
) -> Journey:
    """Take models through all stages and write `index.html` and `journey.json` into the folder `out`.

    `picture`: a file for an SVG of the run. Each file appears whole or not at all. Ctrl-C leaves an earlier
    report as it is; what was done by then is kept in `interrupted.html` and `interrupted.json`.
    Raises DataError for an unknown model, CheckpointError where nothing can be written, before any work.
    """
    unknown = [name for name in names if name not in models.names()]
    if unknown or not names:
        raise DataError(f"there is no model {', '.join(unknown)!r}; choose from {', '.join(models.names())}")
    folder, stations = Path(out), STAGES if stages is None else stages
    for target in [folder / "index.html", *([Path(picture)] if picture else [])]:
        require_writable(target)
    journey = Journey(tuple(names), scale, seed, command)
    begun = time.perf_counter()
    try:
        for stage in stations:
            results = journey.results.setdefault(stage.name, {})
            for name in names:
                if stage.takes(journey, name):
                    results[name] = stage.run(journey, name)
    except KeyboardInterrupt:
        _keep(journey, stations, folder, time.perf_counter() - begun)
        raise
    _write(journey, stations, folder, time.perf_counter() - begun)
    if picture is not None:
        write_whole(picture, report.picture(journey).encode())
    return journey


def _write(
    journey: Journey,
    stages: Sequence[Stage[Any]],
    folder: Path,
    seconds: float,
    names: tuple[str, str] = ("index.html", "journey.json"),
    interrupted: bool = False,
) -> None:
    """Make both files, then write them: an error in the making leaves what was there."""
    page_file, figures_file = names
    machine = describe()
    figures = report.figures(journey, machine, seconds, interrupted)
    page = report.html(journey, stages, machine, seconds, interrupted, figures_file)
    write_whole(folder / figures_file, json.dumps(figures, indent=1, allow_nan=False).encode())
    write_whole(folder / page_file, page.encode())


def _keep(journey: Journey, stages: Sequence[Stage[Any]], folder: Path, seconds: float) -> None:
    """After Ctrl-C: write what there is, and say so."""
    done = [f"{stage} {name}" for stage, results in journey.results.items() for name in results]
    if not done:
        console.notice("stopped before the first result: nothing was kept, earlier reports are as they were")
        return
    names = "interrupted.html", "interrupted.json"
    _write(journey, stages, folder, seconds, names, interrupted=True)
    console.notice(
        f"stopped; kept in {folder / names[0]}: {', '.join(done)}; earlier reports are as they were"
    )
