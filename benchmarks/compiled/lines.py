"""The figures beside the ratios as a table: best product, memory, time to compile, agreement with eager."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.compiled import agreement, product, startup, working_memory
from benchmarks.compiled.ours import Compile
from benchmarks.compiled.tables import span
from tinytorch import console

PEAK_MUST, PEAK_AIM = 0.85, 0.95
COLD_MUST, COLD_AIM, DISK_MUST, DISK_AIM = 15.0, 3.0, 0.5, 0.1
Line = list[str]


def report(compile_: Compile, rounds: int) -> None:
    """Measure and print all of them."""
    found: list[Line] = []
    parts: tuple[Callable[[], list[Line]], ...] = (
        lambda: products(compile_, max(rounds // 3, 5)),
        memory,
        times,
        lambda: agreements(compile_),
    )
    with console.progress(len(parts), "products, memory, startup, agreement", "parts") as bar:
        for done, part in enumerate(parts):
            found += part()
            bar.update(done + 1)
    console.table("Beside the ratios", ["what", "figure", "must", "aim", "reached"], found)


def products(compile_: Compile, rounds: int) -> list[Line]:
    """Products of 1024^3 in GFLOP/s and of the peak."""
    result = product.measure(compile_, rounds)
    name, part = result.best
    lines = [
        [
            f"product of {product.SIZE}^3, {what}",
            f"{rate / 1e9:.1f} GFLOP/s, {rate / result.peak:.1%}",
            "",
            "",
            "",
        ]
        for what, rate in result.rates.items()
    ]
    reached = part >= PEAK_MUST
    lines.append(
        [
            f"our best product, of a peak of {result.peak / 1e9:.1f} GFLOP/s",
            f"{part:.1%} ({name})",
            f">= {PEAK_MUST:.0%}",
            f"{PEAK_AIM:.0%}",
            _verdict(reached),
        ]
    )
    return lines


def memory() -> list[Line]:
    """Peak of a GPT forward pass and step, compiled beside eager."""
    lines = []
    for name, limit in working_memory.LIMITS.items():
        eager, compiled = (working_memory.measure(name, which) for which in (False, True))
        part = compiled.peak / eager.peak
        held = "".join(f", {owner} {_mib(size)}" for owner, size in compiled.named.items())
        lines += [
            [
                f"peak memory over model and input, {name}, compiled / eager",
                f"{_mib(compiled.peak)} / {_mib(eager.peak)}: {part:.2f}",
                f"<= {limit:g}",
                "",
                _verdict(part <= limit),
            ],
            [f"  held between calls{held}", f"{_mib(compiled.held)} / {_mib(eager.held)}", "", "", ""],
            [
                "  growth of the process, all of compiling included",
                f"{_mib(compiled.resident)} / {_mib(eager.resident)}",
                "",
                "",
                "",
            ],
        ]
    return lines


def times() -> list[Line]:
    """Time to compile the GPT training step, with an empty cache and with a filled one."""
    found = startup.measure()
    what = "time to compile the GPT training step"
    return [
        [
            f"{what}, cold",
            span(found.cold),
            f"<= {COLD_MUST:g} s",
            span(COLD_AIM),
            _verdict(found.cold <= COLD_MUST),
        ],
        [
            f"{what}, from disk",
            span(found.disk),
            f"<= {DISK_MUST:g} s",
            span(DISK_AIM),
            _verdict(found.disk <= DISK_MUST),
        ],
    ]


def agreements(compile_: Compile) -> list[Line]:
    """Relative errors of compiled against eager results."""
    return [
        [
            f"compiled / eager, {found.what}",
            f"{found.error:.1e}",
            f"<= {found.limit:g}",
            "",
            _verdict(found.error <= found.limit),
        ]
        for found in agreement.measure(compile_)
    ]


def _verdict(reached: bool) -> str:
    return "yes" if reached else "NO"


def _mib(size: int) -> str:
    return f"{size / 2**20:.2f} MiB"
