"""`make bench`: speed and memory, eager and compiled, as tables; `--quick` takes fewer samples."""

from __future__ import annotations

import platform
import subprocess
import sys
import time

import numpy as np
import torch

import tinytorch as tt
from benchmarks import memory, speed
from tinytorch import console
from tinytorch.profiling.hardware import machine


def _chain() -> float:
    """Seconds of a backward pass through a chain of 100,000 ops."""
    x = tt.Tensor([1.0], requires_grad=True)
    out = x
    for _ in range(100_000):
        out = out * 1.0
    start = time.perf_counter()
    out.sum().backward()
    return time.perf_counter() - start


def _slope(found: dict[str, float]) -> str:
    return f"{found['slope']:.0f} +- {1.96 * found['slope_error']:.0f} bytes a step"


def main(rounds: int) -> None:
    """Measure and print all rows."""
    torch.set_num_threads(1)
    tt.set_num_threads(1)
    rows = []
    for row in [*speed.training_rows(rounds), speed.overhead_row(rounds)]:
        r = row.ratio
        must = f">= {row.must:g}" if row.must else "printed"
        verdict = "" if not row.must else ("yes" if r.ratio >= row.must else "NO")
        rows.append(
            [
                row.what,
                f"{r.ours * 1e3:.4g} ms",
                f"{r.peer * 1e3:.4g} ms",
                f"{r.ratio:.2f} [{r.low:.2f}, {r.high:.2f}]",
                must,
                f"{row.aim:g}",
                verdict,
            ]
        )
    versions = f"NumPy {np.__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}"
    console.table(
        f"TinyTorch beside PyTorch eager, 1 thread, interleaved: PyTorch's time / ours ({rounds} rounds)",
        ["work", "ours", "PyTorch", "ratio [95 %]", "must", "aim", "reached"],
        rows,
        note=f"{machine.processor()}; {versions}. CNN: PyTorch in channels_last, its better layout.",
    )
    seconds, fit = speed.depth_line(max(rounds // 3, 5))
    ours, theirs = memory.measure("ours"), memory.measure("torch")
    mib = 2**20
    console.table(
        "Depth and memory",
        ["what", "figure", "must"],
        [
            [
                "GPT step, layers " + ", ".join(map(str, seconds)),
                ", ".join(f"{s * 1e3:.1f} ms" for s in seconds.values()),
                "",
            ],
            ["r^2 of a straight line through them", f"{fit:.4f}", "linear"],
            ["backward through a chain of 100,000 ops", f"{_chain():.2f} s", "no recursion"],
            ["peak of a GPT step, AdamW, ours", f"{ours['peak'] / mib:.1f} MiB", ""],
            ["the same, PyTorch", f"{theirs['peak'] / mib:.1f} MiB", ""],
            ["ratio", f"{ours['peak'] / theirs['peak']:.2f}", "<= 1.5"],
            ["slope over 200 steps, ours", _slope(ours), "within noise"],
            ["the same, PyTorch", _slope(theirs), ""],
        ],
    )


def compiled(quick: bool) -> None:
    """The tables of compiled models, on one thread and on two, each in a process of its own."""
    for threads in ("1", "2"):
        pace = ["--quick"] if quick or threads != "1" else []
        subprocess.run([sys.executable, "-m", "benchmarks.compiled", "--threads", threads, *pace], check=True)


if __name__ == "__main__":
    main(15 if "--quick" in sys.argv else 60)
    compiled("--quick" in sys.argv)
