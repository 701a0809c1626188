"""What shrinking gave: the smaller model, and a table of what each layer and the whole became."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.compression.dependencies import ROOT, Group
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.counting.flops import FLOPCounter, FLOPs
from tinytorch.tensor import Tensor


@dataclass(frozen=True)
class Cost:
    """Parameters, and FLOPs of matrix products and convolutions on the inputs that were followed."""

    parameters: int
    flops: int


@dataclass(frozen=True)
class GroupRow:
    """One group of channels: how many there were and are, and what the layers that make them cost.

    `kept`: the places of those that stay. `fixed`: why none may go, or "".
    """

    name: str
    layers: tuple[str, ...]
    kind: str
    before: int
    kept: tuple[int, ...]
    cost_before: Cost
    cost_after: Cost
    fixed: str

    @property
    def after(self) -> int:
        """How many there are now."""
        return len(self.kept)


@dataclass(frozen=True)
class ShrinkReport:
    """All groups of channels, and the whole model before and after."""

    groups: tuple[GroupRow, ...]
    before: Cost
    after: Cost

    def __repr__(self) -> str:
        head = ["layer", "kind", "channels", "", "parameters", "", "FLOPs", "", ""]
        rows = [head, *map(_row, self.groups)]
        rows.append(["all", "", "", "", *_costs(self.before, self.after), ""])
        first, *lines = words.columns(rows, left=(0, 1, 8))
        parameters, flops = (
            f"{before / max(after, 1):.2f}x"
            for before, after in (
                (self.before.parameters, self.after.parameters),
                (self.before.flops, self.after.flops),
            )
        )
        return "\n".join(
            [first, "-" * len(first), *lines, f"{parameters} fewer parameters, {flops} fewer FLOPs"]
        )


@dataclass(frozen=True)
class Shrunk:
    """A smaller model, an ordinary dense one, and the report of how it came about."""

    model: Module
    report: ShrinkReport

    def __repr__(self) -> str:
        return repr(self.report)


def _row(row: GroupRow) -> list[str]:
    more = f" + {len(row.layers) - 1} more" if len(row.layers) > 1 and row.kind != "heads" else ""
    channels = [words.count(row.before), words.count(row.after)]
    why = f"fixed: {row.fixed}" if row.fixed else ""
    return [row.name + more, row.kind, *channels, *_costs(row.cost_before, row.cost_after), why]


def _costs(before: Cost, after: Cost) -> list[str]:
    parameters = [words.count(cost.parameters) for cost in (before, after)]
    return [*parameters, *(words.work(cost.flops) for cost in (before, after))]


# ---------------------------------------------------------------- counting


@dataclass(frozen=True)
class Counted:
    """A model with its work counted."""

    model: Module
    flops: FLOPs

    @classmethod
    def of(cls, model: Module, inputs: Sequence[Tensor]) -> Counted:
        """Count the work of a model on these inputs."""
        return cls(model, FLOPCounter().count(model, inputs=tuple(inputs)))

    def whole(self) -> Cost:
        """Of the whole model."""
        return Cost(self.model.num_parameters(), int(self.flops))

    def of_layers(self, paths: Iterable[str]) -> Cost:
        """Of the modules at these paths, without those below them; a tied parameter counts once."""
        modules = dict(self.model._walk())
        chosen = {"" if path == ROOT else path for path in paths}
        own = {id(tensor): tensor.size for path in chosen & modules.keys() for tensor in _own(modules[path])}
        work = sum(row.self_flops for row in self.flops.by_module if row.path in chosen)
        return Cost(sum(own.values()), work)


def _own(module: Module) -> Iterable[Tensor]:
    return (module.__dict__[name] for name, role in module._roles.items() if role == "parameter")


def report_of(groups: Iterable[Group], removed: Array, before: Counted, after: Counted) -> ShrinkReport:
    """The report of a model made smaller; `removed`: bool, for each number of a channel whether it went."""
    rows = []
    for group in groups:
        paths = (group.name, *group.layers)
        kept = tuple(np.flatnonzero(~removed[group.channels]).tolist())
        costs = before.of_layers(paths), after.of_layers(paths)
        rows.append(GroupRow(group.name, group.layers, group.kind, len(group), kept, *costs, group.fixed))
    return ShrinkReport(tuple(rows), before.whole(), after.whole())
