"""The report of a quantization: for each layer what it became and why, and what the whole model costs now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinytorch.profiling import words
from tinytorch.quantization.speed import Race


@dataclass(frozen=True)
class Sizes:
    """Bytes of weights, three ways: in a file, in memory, and read by the kernels of one run.

    float32 lies in an ordinary file, codes in a compact one, entropy-coded. `read`: None without native code.
    """

    file: int
    resident: int
    read: int | None


@dataclass(frozen=True)
class LayerReport:
    """One layer. `sqnr`: of its results on calibration inputs, in dB. `cost`: what the score loses when this
    layer alone is quantized. `kept`: whether it is on codes in the end, and `why`.
    """

    path: str
    kind: str
    scheme: str
    sqnr: float
    cost: float | None
    race: Race | None
    before: Sizes
    after: Sizes
    kept: bool
    why: str


@dataclass(frozen=True)
class Report:
    """What `quantize` found and decided. `score`: its name; figures of the model before and after, the cost.

    `before` and `after` are the sizes of all layers that can be quantized, as they are in the end; `left`
    says of other modules with weights why they stay; `folded` which batch norms went into convolutions.
    """

    layers: tuple[LayerReport, ...]
    score: str
    score_before: float
    score_after: float
    cost: float
    max_loss: float
    race: Race | None
    left: tuple[tuple[str, str], ...]
    folded: tuple[tuple[str, str], ...]

    @property
    def before(self) -> Sizes:
        """All layers in float32."""
        return _total([layer.before for layer in self.layers])

    @property
    def after(self) -> Sizes:
        """All layers as they are now."""
        return _total([layer.after if layer.kept else layer.before for layer in self.layers])

    def __repr__(self) -> str:
        return "\n".join([*self._table(), "", *self._totals(), *self._rest()])

    def _table(self) -> list[str]:
        head = ["layer", "scheme", "SQNR", f"{self.score} lost", "before", "after", "gain"]
        head += ["file", "resident", "read", "", "why"]
        rows = [head, *(_row(layer) for layer in self.layers)]
        first, *lines = words.columns(rows, left=(0, 1, 10, 11))
        return [first, "-" * len(first), *lines]

    def _totals(self) -> list[str]:
        before, after = self.before, self.after
        read = "not measured"
        if before.read is not None and after.read is not None:
            read = _times(before.read, after.read)
        lines = [
            f"file       {_times(before.file, after.file)} (codes are entropy-coded)",
            f"resident   {_times(before.resident, after.resident)}",
            f"read       {read} (by the kernels, in one run)",
            f"{self.score:<10} {self.score_before:.4f} before, {self.score_after:.4f} after: "
            f"{self.cost:.4f} lost, at most {self.max_loss:g} allowed",
        ]
        if self.race is not None:
            first, second = (words.seconds(t.value) for t in (self.race.before, self.race.after))
            gain, word = self.race.gain, self.race.word
            interval = f"{gain.value:.2f}x [{gain.low:.2f}, {gain.high:.2f}]"
            lines.append(f"time       {first} before, {second} after, compiled: {interval}, {word}")
        return lines

    def _rest(self) -> list[str]:
        lines = [f"folded     {norm} into {conv}" for conv, norm in self.folded]
        reasons = dict.fromkeys(why for _, why in self.left)
        for why in reasons:
            paths = [path for path, one in self.left if one == why]
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            lines.append(f"left       {', '.join(paths[:3])}{more}: {why}")
        return lines


def _total(sizes: Sequence[Sizes]) -> Sizes:
    reads = [size.read for size in sizes]
    read = None if None in reads else sum(r for r in reads if r is not None)
    return Sizes(sum(s.file for s in sizes), sum(s.resident for s in sizes), read)


def _row(layer: LayerReport) -> list[str]:
    race, before, after = layer.race, layer.before, layer.after
    return [
        layer.path,
        layer.scheme,
        f"{layer.sqnr:.1f} dB" if math.isfinite(layer.sqnr) else "exact" if layer.sqnr > 0 else "",
        "" if layer.cost is None else f"{layer.cost:+.4f}",
        "" if race is None else words.seconds(race.before.value),
        "" if race is None else words.seconds(race.after.value),
        "" if race is None else f"{race.gain.value:.2f}x",
        f"{before.file / max(after.file, 1):.1f}x",
        f"{before.resident / max(after.resident, 1):.1f}x",
        "" if before.read is None or after.read is None else f"{before.read / max(after.read, 1):.1f}x",
        "kept" if layer.kept else "reverted",
        layer.why,
    ]


def _times(before: int, after: int) -> str:
    return f"{words.size(before)} -> {words.size(after)}, {before / max(after, 1):.2f}x smaller"
