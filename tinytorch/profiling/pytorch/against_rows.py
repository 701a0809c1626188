"""The same model in two frameworks: how many times slower or faster, and where, from passes of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from tinytorch.errors import ProfilingError
from tinytorch.profiling import words
from tinytorch.profiling.pytorch.follow import under
from tinytorch.profiling.rows import Times
from tinytorch.profiling.significance import paired_ratio
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.trace import Key
from tinytorch.profiling.tree import in_order

AGREE = 1e-4
"""The largest difference of outputs, over the largest output or 1, with which two models are the same."""


def side_of(estimate: Estimate, nothing: float = 0.0) -> int:
    """1 or -1 where the interval leaves `nothing` out on that side, 0 where it does not.

    >>> side_of(Estimate(2.0, 1.5, 2.5), 1.0), side_of(Estimate(2.0, -1.0, 5.0))
    (1, 0)
    """
    if estimate.low is not None and estimate.low > nothing:
        return 1
    return -1 if estimate.high is not None and estimate.high < nothing else 0


class Watched(NamedTuple):
    """Watched passes of both: by module, and inside kernels."""

    ours: Times
    torch: Times
    our_kernels: Times
    torch_kernels: Times


@dataclass(frozen=True)
class AgainstRow:
    """One module, or alike ones together ("blocks.*.attn"): seconds of its own in a pass, without children.

    `difference`: ours less PyTorch's; `in_kernels`: the part of it inside kernels; `share`: what it is of the
    difference between whole passes, None where those show no difference. `ratio`: None where one has no time.
    """

    path: str
    kind: str
    ours: Estimate
    torch: Estimate
    ratio: Estimate | None
    difference: Estimate
    in_kernels: float
    share: float | None


@dataclass(frozen=True)
class Against:
    """What was found: `total` is our time over PyTorch's, from unwatched passes; `rows` by module, in order.

    `groups`: the same with alike modules together, what explains most first. `difference`: seconds that ours
    takes more in an unwatched pass, `watched` in a watched one; `in_kernels`: of those, inside kernels.
    `error`: by how much the outputs differ.
    """

    name: str
    configuration: dict[str, str]
    ours: Estimate
    torch: Estimate
    total: Estimate
    difference: Estimate
    watched: Estimate
    in_kernels: float
    error: float
    rows: tuple[AgainstRow, ...]
    groups: tuple[AgainstRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """How our time compares, in words.

        >>> from tinytorch.profiling.statistics import Estimate as E
        >>> nothing = E(0.0, 0.0, 0.0)
        >>> Against("GPT", {}, E(2, 2, 2), E(1, 1, 1), E(2, 1.9, 2.1), nothing, nothing, 0, 0, (), ()).verdict
        'TinyTorch takes 2.00x [1.90, 2.10] the time of PyTorch: slower'
        """
        word = {1: "slower", -1: "faster", 0: "no difference shown"}[side_of(self.total, 1.0)]
        return f"TinyTorch takes {words.times(self.total)} the time of PyTorch: {word}"

    def __repr__(self) -> str:
        from tinytorch.profiling.pytorch.against_text import text

        return text(self)


def check_same(name: str, ours: Any, theirs: Any) -> float:
    """The largest difference of outputs, over the largest output or 1; raises ProfilingError above AGREE."""
    worst = 0.0
    for a, b in zip_longest(_tensors(ours), _tensors(theirs)):
        shapes = tuple(() if x is None else tuple(x.shape) for x in (a, b))
        if a is None or b is None or shapes[0] != shapes[1]:
            raise ProfilingError(f"{name}: outputs of shapes {shapes[0]} and {shapes[1]} in PyTorch")
        x, y = np.asarray(a.numpy(), float), np.asarray(b.numpy(), float)
        if x.size:
            error = np.abs(x - y).max() / max(1.0, float(np.abs(y).max()))
            worst = float(np.maximum(worst, error))  # NaN stays NaN
    if not worst <= AGREE:
        raise ProfilingError(
            f"{name}: outputs differ from PyTorch's by {worst:.2g} of the largest; expected at most "
            f"{AGREE:g}. Times of models that compute different things say nothing."
        )
    return worst


def _tensors(out: Any) -> list[Any]:
    if isinstance(out, list | tuple):
        return [tensor for part in out for tensor in _tensors(part)]
    return [out]


def found(
    name: str,
    configuration: dict[str, str],
    samples: tuple[Sequence[float], Sequence[float]],
    watched: Watched,
    kinds: Mapping[str, str],
    error: float,
    notes: tuple[str, ...] = (),
) -> Against:
    """What unwatched seconds (ours, PyTorch's) and watched passes come to.

    `kinds`: class names of the model's modules by path, in order.
    """
    whole = median(np.subtract(watched.ours.totals, watched.torch.totals))
    difference = median(np.subtract(samples[0], samples[1]))
    shown = whole.value if side_of(whole) and side_of(whole) == side_of(difference) else None
    paths = in_order(kinds, [key.path for side in watched for key in side.keys])
    rows = _rows({path: path for path in paths}, watched, kinds, shown)
    groups = _rows({path: alike(path, kinds) for path in paths}, watched, kinds, shown)
    direction = 1 if difference.value >= 0 else -1
    return Against(
        name=name,
        configuration=configuration,
        ours=median(samples[0]),
        torch=median(samples[1]),
        total=paired_ratio(samples[0], samples[1]).estimate(),
        difference=difference,
        watched=whole,
        in_kernels=watched.our_kernels.kernel(_any) - watched.torch_kernels.kernel(_any),
        error=error,
        rows=rows,
        groups=tuple(sorted(groups, key=lambda row: -direction * row.difference.value)),
        notes=(*notes, _overheads(samples, watched)),
    )


def _any(_key: Key) -> bool:
    return True


def _overheads(samples: tuple[Sequence[float], Sequence[float]], watched: Watched) -> str:
    """By how much passes that are followed through their modules are longer than those nobody watches."""
    both = zip((watched.ours.totals, watched.torch.totals), samples, strict=True)
    ours, theirs = (float(np.median(long) / np.median(short)) for long, short in both)
    return (
        f"watched passes take {ours:.2f}x (TinyTorch) and {theirs:.2f}x (PyTorch) the time of unwatched ones"
    )


def _rows(
    labels: Mapping[str, str], watched: Watched, kinds: Mapping[str, str], whole: float | None
) -> tuple[AgainstRow, ...]:
    """A row for each label, of the modules under it; those in which nothing ran have none."""
    members: dict[str, list[str]] = {}
    for path, label in labels.items():
        members.setdefault(label, []).append(path)
    out = []
    for label, paths in members.items():
        ours, theirs = (side.per_pass(under(paths)) for side in watched[:2])
        if not any(ours) and not any(theirs):
            continue
        kernels = [side.kernel(under(paths)) for side in watched[2:]]
        difference = median(np.subtract(ours, theirs))
        out.append(
            AgainstRow(
                path=label,
                kind=kinds.get(paths[0], ""),
                ours=median(ours),
                torch=median(theirs),
                ratio=paired_ratio(ours, theirs).estimate() if min(*ours, *theirs) > 0 else None,
                difference=difference,
                in_kernels=kernels[0] - kernels[1],
                share=difference.value / whole if whole else None,
            )
        )
    return tuple(out)


def alike(path: str, kinds: Mapping[str, str]) -> str:
    """The path with "*" for the number of a module that has others like it beside it, with modules in them.

    >>> kinds = {"": "GPT", "blocks": "ModuleList", "blocks.0": "Block", "blocks.0.fc": "Linear"}
    >>> alike("blocks.0.fc", kinds | {"blocks.1": "Block", "blocks.1.fc": "Linear"})
    'blocks.*.fc'
    >>> alike("layers.0", {"": "MLP", "layers": "Sequential", "layers.0": "Linear", "layers.1": "ReLU"})
    'layers.0'
    """
    out: list[str] = []
    parts = path.split(".") if path else []
    for depth, part in enumerate(parts):
        parent = ".".join(parts[:depth])
        out.append("*" if part.isdigit() and _repeats(parent, kinds) else part)
    return ".".join(out)


def _repeats(parent: str, kinds: Mapping[str, str]) -> bool:
    """Whether the children of a module are two or more of one kind, with modules in them."""
    children = [path for path in kinds if path.rpartition(".")[0] == parent and path]
    same = len(children) > 1 and len({kinds[path] for path in children}) == 1
    return same and all(any(other.startswith(f"{path}.") for other in kinds) for path in children)
