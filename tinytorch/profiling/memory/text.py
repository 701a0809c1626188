"""A MemoryUse as text: peak and what stays, what it consists of, the largest modules and sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinytorch.profiling import words
from tinytorch.profiling.profile import MemoryUse, ModuleMemory

SHOWN = 10
_COLUMNS = 100
_VERDICTS = {
    "steady": "steady: needs about what it holds, and gives it back",
    "spiky": "spiky: most of its peak is temporaries, which it gives back before it ends",
    "unknown": "unknown: whether what stays grows takes more than one call",
}


def text(use: MemoryUse) -> str:
    """The figures in lines of at most 100 columns, the verdict first.

    >>> use = MemoryUse(1024, 4096, 3072, 0, None, None, "steady", 5)
    >>> print(text(use).splitlines()[1])
    peak       4.0 KiB, 3.0 KiB over a baseline of 1.0 KiB; 0 B stays after a call (5 calls)
    """
    lines = [("memory", _verdict(use))]
    lines.append(
        (
            "peak",
            f"{words.size(use.peak)}, {words.size(use.allocated)} over a baseline of "
            f"{words.size(use.baseline)}; {words.size(use.retained)} stays after a call "
            f"({use.repeats} call{'s' if use.repeats > 1 else ''})",
        )
    )
    parts = _parts(use)
    if parts:
        lines.append(("of it", parts))
    lines += [("process", _process(use)), *(("note", note) for note in use.notes)]
    shown = [_wrapped(f"{name:<10} ", line) for name, line in lines]
    return "\n".join([*shown, *_modules(use.modules), *_sites(use)])


def _verdict(use: MemoryUse) -> str:
    if use.pattern != "growing" or use.slope is None:
        return _VERDICTS.get(use.pattern, use.pattern)
    trend = use.slope
    ends = "" if trend.low is None else f" [{words.size(trend.low)}, {words.size(trend.high)}]"
    return f"growing: each call leaves {words.size(trend.value)}{ends} more behind (a leak, or a cache)"


def _parts(use: MemoryUse) -> str:
    named = (
        ("parameters", use.parameters),
        ("gradients", use.gradients),
        ("optimizer", use.optimizer),
        ("kept for backward", use.activations),
        ("temporaries", use.temporaries),
    )
    return ", ".join(f"{name} {words.size(amount)}" for name, amount in named if amount)


def _process(use: MemoryUse) -> str:
    """The resident size, and why it differs."""
    if use.resident_baseline is None and use.resident_peak is None:
        return "resident size unknown on this system"
    most = "its peak unknown" if use.resident_peak is None else f"at most {words.size(use.resident_peak)}"
    return (
        f"{words.size(use.resident_baseline)} resident, {most}: with interpreter, libraries and what "
        "allocators keep, without pages never touched"
    )


def _modules(modules: Sequence[ModuleMemory]) -> list[str]:
    """A row for each of the modules with the highest peaks, in the model's order."""
    if len(modules) < 2:
        return []
    ranked = sorted(range(len(modules)), key=lambda i: -(modules[i].peak + modules[i].parameters))
    rows = [modules[i] for i in sorted(ranked[:SHOWN])]
    names = [_fitted(row.path or "(root)", 30) for row in rows]
    width = max(6, *map(len, names))
    heads = ("parameters", "gradients", "kept", "temporary", "peak")
    out = ["", f"{'module':<{width}}" + "".join(f"{head:>13}" for head in heads)]
    for name, row in zip(names, rows, strict=True):
        cells = (row.parameters, row.gradients, row.activations, row.temporaries, row.peak)
        out.append(f"{name:<{width}}" + "".join(f"{words.size(cell):>13}" for cell in cells))
    if len(modules) > len(rows):
        out.append(f"and {len(modules) - len(rows)} modules with lower peaks")
    return out


def _sites(use: MemoryUse) -> list[str]:
    """Where the most was allocated of what is live at the peak."""
    if not use.sites:
        return []
    out = ["", f"{'at the peak':>13} {'blocks':>9}  allocated at"]
    for site in use.sites[:SHOWN]:
        place = f"{_shortened(site.file)}:{site.line}"
        out.append(f"{words.size(site.bytes):>13} {site.blocks:>9,}  {_fitted(place, _COLUMNS - 25)}")
    return out


def _shortened(file: str) -> str:
    """A file below the working directory by its relative path."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _fitted(name: str, columns: int) -> str:
    """The end of a name that is too long, which tells more than its beginning."""
    return name if len(name) <= columns else "..." + name[3 - columns :]


def _wrapped(lead: str, line: str) -> str:
    import textwrap

    return textwrap.fill(line, _COLUMNS, initial_indent=lead, subsequent_indent=" " * len(lead))
