"""What was measured as tables: ratios beside what they must reach, and kernel time apart from the call."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.compiled.measure import Measured
from benchmarks.compiled.workloads import Workload
from benchmarks.interleave import Ratio
from benchmarks.peers.arm import COMPILED
from tinytorch import console
from tinytorch.profiling.statistics import Estimate


def ratios(title: str, found: Sequence[Measured], held: bool) -> None:
    """Print a row for each workload and peer; `held`: the figures to reach hold, as on one thread."""
    rows = [row for measured in found for row in _rows(measured, held)]
    columns = ["work", "ours", "peer", "its time", "ratio [95 %]", "must", "aim", "reached"]
    console.table(title, columns, rows)


def judged(found: Ratio, must: float | None, aim: float | None) -> list[str]:
    """A ratio with its interval, what it must reach, the aim, and whether it does: cells of a table."""
    reached = "" if must is None else "yes" if found.ratio >= must else "NO"
    reached += ", aim" if aim is not None and found.ratio >= aim else ""
    # "never slower" holds where no difference is shown, too
    if must == 1.0 and reached == "NO" and found.high >= 1.0:
        reached = "yes (no difference)"
    interval = f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"
    return [interval, "" if must is None else f">= {must:g}", "" if aim is None else f"{aim:g}", reached]


def _rows(measured: Measured, held: bool) -> list[list[str]]:
    """The rows of one workload; its own name and time stand in the first."""
    work, rows = measured.work, []
    head = [work.name, span(measured.seconds[COMPILED])]
    for peer in work.peers:
        if peer in measured.missing:
            rows.append([*head, peer, f"not available: {measured.missing[peer]}", "", "", "", ""])
        else:
            ratio, how = measured.ratios[peer], measured.arms[peer].how
            rows.append(
                [
                    *head,
                    f"{peer} ({how})" if how else peer,
                    span(ratio.peer),
                    f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
                    _figure(work, peer, held),
                    f"{work.aim[peer]:g}" if held and peer in work.aim else "",
                    measured.reached(peer) if held else "",
                ]
            )
        head = ["", ""]
    return rows


def _figure(work: Workload, peer: str, held: bool) -> str:
    return f">= {work.must[peer]:g}" if held and peer in work.must else "printed"


def apart(found: Sequence[Measured]) -> None:
    """Print kernel time and call overhead of each arm that knows them, at batch 1."""
    rows = [
        [
            measured.work.name,
            peer,
            span(parts.whole),
            span(parts.kernel),
            _micro(parts.overhead),
            measured.arms[peer].inside,
        ]
        for measured in found
        for peer, parts in measured.inside.items()
    ]
    if rows:
        console.table(
            "Kernel time and call overhead at batch 1",
            ["work", "who", "whole call", "kernels", "overhead, us [95 %]", "kernels by"],
            rows,
            note="Overhead: the whole call less the kernels, in the same rounds. With a lowest entry, part "
            "of it counts as kernels, and so does PyTorch's dispatcher with ops called from TorchScript.",
        )


def _micro(found: Estimate) -> str:
    """Microseconds with an interval; a side that too few samples leave open is "-"."""
    low, high = ("-" if end is None else f"{end * 1e6:.3g}" for end in (found.low, found.high))
    return f"{found.value * 1e6:.3g} [{low}, {high}]"


def span(seconds: float) -> str:
    """A time as people read it.

    >>> span(2.5e-6), span(0.0325), span(2.0)
    ('2.5 us', '32.5 ms', '2 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e6:.4g} us"
