"""From watched passes to the rows of a profile: time and work by module, by kind of op, and in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.nn.module import Module
from tinytorch.profiling.counting.flops import OpCost
from tinytorch.profiling.hardware.roofline import place
from tinytorch.profiling.profile import MemoryUse, ModuleRow, OpRow, Roof, Slice
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.trace import NS, Key, Pass
from tinytorch.profiling.tree import ancestors, in_order, modules_by_path

Costs = Sequence[tuple[Key, OpCost]]


@dataclass
class Work:
    """What ops under one heading add up to in a pass; `flops` is None once an uncounted op is among them."""

    calls: float = 0
    flops: int | None = 0
    matmul_flops: int = 0
    bytes: int = 0

    def add(self, cost: OpCost) -> None:
        """Take one op in."""
        self.calls += 1
        self.flops = None if self.flops is None or cost.flops is None else self.flops + cost.flops
        self.matmul_flops += cost.matmul_flops
        self.bytes += cost.bytes


def all_work(costs: Costs) -> Work:
    """Work of all ops together."""
    return work_by(costs, lambda _: "").get("", Work())


def uncounted(costs: Costs) -> tuple[str, ...]:
    """Names of the ops that say nothing of their FLOPs."""
    return tuple(sorted({key.op for key, cost in costs if cost.flops is None}))


def coverage(costs: Costs) -> float:
    """The share of ops that say what FLOPs they cost; 1 where none ran."""
    return sum(cost.flops is not None for _, cost in costs) / len(costs) if costs else 1.0


def work_by(costs: Costs, heading: Callable[[Key], str]) -> dict[str, Work]:
    """Work added up under the heading of each op."""
    found: defaultdict[str, Work] = defaultdict(Work)
    for key, cost in costs:
        found[heading(key)].add(cost)
    return dict(found)


class Times:
    """Seconds of each watched pass, filed by key; sums over any set of keys come with an interval."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        both = [one.self_times() for one in passes]
        self._whole = [whole for whole, _ in both]
        self._kernels = [kernels for _, kernels in both]
        self.totals = [sum(whole.values()) for whole in self._whole]
        self.keys = list(dict.fromkeys(key for whole in self._whole for key in whole))

    def per_pass(self, wanted: Callable[[Key], bool]) -> list[float]:
        """Seconds in each pass of the keys that are wanted."""
        keys = [key for key in self.keys if wanted(key)]
        return [sum(whole.get(key, 0.0) for key in keys) for whole in self._whole]

    def own(self, path: str) -> tuple[float, ...]:
        """Self seconds of a module in each pass."""
        return tuple(self.per_pass(lambda key: key.path == path))

    def share(self, seconds: Sequence[float]) -> Estimate:
        """The share of those seconds in the passes."""
        return median([s / total if total else 0.0 for s, total in zip(seconds, self.totals, strict=True)])

    def kernel(self, wanted: Callable[[Key], bool]) -> float:
        """Median of the seconds inside kernels."""
        keys = [key for key in self.keys if wanted(key)]
        return float(np.median([sum(k.get(key, 0.0) for key in keys) for k in self._kernels]))

    def backward(self, wanted: Callable[[Key], bool]) -> float:
        """Median of the seconds spent in gradients."""
        return float(np.median(self.per_pass(lambda key: key.backward and wanted(key))))


def module_rows(
    times: Times, costs: Costs, model: Module | None, memory: MemoryUse | None, roof: Roof | None
) -> tuple[ModuleRow, ...]:
    """A row for each module in which ops ran, or below which they did, in the model's order."""
    return rows_by_path(times, costs, *_of_model(model), memory, roof)


def rows_by_path(
    times: Times,
    costs: Costs,
    kinds: Mapping[str, str],
    parameters: Mapping[str, int],
    memory: MemoryUse | None,
    roof: Roof | None,
) -> tuple[ModuleRow, ...]:
    """Rows of a model given as class names by path, in its order, and bytes of own parameters by path."""
    work = work_by(costs, lambda key: key.path)
    peaks = {m.path: m.peak for m in memory.modules} if memory is not None else {}
    paths = in_order(kinds, [key.path for key in times.keys] + list(work))
    return tuple(
        _module_row(path, kinds.get(path, ""), times, work.get(path, Work()), parameters, peaks, roof)
        for path in paths
    )


def _module_row(
    path: str,
    kind: str,
    times: Times,
    work: Work,
    parameters: Mapping[str, int],
    peaks: Mapping[str, int],
    roof: Roof | None,
) -> ModuleRow:
    def own(key: Key) -> bool:
        return key.path == path

    below = f"{path}." if path else ""
    seconds = times.per_pass(own)
    total = times.per_pass(lambda key: key.path == path or key.path.startswith(below))
    spent, kernel = median(seconds), times.kernel(own)
    placed = (
        place(work.flops, work.bytes, spent.value, kernel, roof, work.calls) if roof is not None else None
    )
    return ModuleRow(
        path=path,
        kind=kind,
        depth=len(ancestors(path)) - 1,
        calls=work.calls,
        self_seconds=spent,
        total_seconds=median(total),
        kernel_seconds=kernel,
        backward_seconds=times.backward(own),
        share=times.share(seconds),
        flops=work.flops,
        matmul_flops=work.matmul_flops,
        bytes=work.bytes,
        parameter_bytes=parameters.get(path, 0),
        peak_bytes=peaks.get(path),
        roof=placed.share if placed is not None else None,
        bound=placed.bound if placed is not None else None,
    )


def _of_model(model: Module | None) -> tuple[dict[str, str], dict[str, int]]:
    """Class names and bytes of own parameters by path; a shared parameter counts where it is met first."""
    kinds: dict[str, str] = {}
    parameters: defaultdict[str, int] = defaultdict(int)
    if model is not None:
        kinds = {path: type(module).__name__ for path, module in modules_by_path(model).items()}
        for name, tensor in model.named_parameters():
            parameters[name.rpartition(".")[0]] += tensor.nbytes
    return kinds, dict(parameters)


def op_rows(times: Times, costs: Costs) -> tuple[OpRow, ...]:
    """A row for each kind of op, the costliest first; Python after the last op is in none."""
    rows = []
    for name, work in work_by(costs, lambda key: key.op).items():
        seconds = times.per_pass(lambda key, name=name: key.op == name)  # type: ignore[misc]
        rows.append(
            OpRow(
                name,
                work.calls,
                median(seconds),
                times.share(seconds),
                times.backward(lambda key, name=name: key.op == name),  # type: ignore[misc]
                work.flops,
                work.matmul_flops,
                work.bytes,
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.seconds.value))


def typical(passes: Sequence[Pass]) -> Pass:
    """The pass whose length is nearest to the median."""
    middle = float(np.median([one.seconds for one in passes]))
    return min(passes, key=lambda one: abs(one.seconds - middle))


def slices(one: Pass, costs: Costs, limit: int = 20_000) -> tuple[Slice, ...]:
    """The kernels of one pass in order, on its clock less the time that watching took; at most `limit`.

    Costs are given where they were counted on a pass of the same ops.
    """
    same = [key for key, _ in costs] == [Key(r.path, r.op.name, r.backward) for r in one.records]
    counted: Iterable[OpCost | None] = [cost for _, cost in costs] if same else [None] * len(one.records)
    out, watching = [], 0
    for record, cost in zip(one.records, counted, strict=True):
        begun = record.start - one.start - watching
        out.append(
            Slice(
                record.path,
                record.op.name,
                record.backward,
                begun * NS,
                (begun + record.end - record.start) * NS,
                cost.flops if cost is not None else None,
                cost.bytes if cost is not None else 0,
            )
        )
        watching += record.done - record.seen
    return tuple(out[:limit])
