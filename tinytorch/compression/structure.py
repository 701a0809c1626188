"""shrink: an ordinary smaller model, without the least important filters, neurons and heads of another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from tinytorch.compression.dependencies import KINDS, Dependencies, Group, Inputs, dependencies, given_to
from tinytorch.compression.importance import importance
from tinytorch.compression.masks import count_of_zeros
from tinytorch.compression.removal import keep_largest, without
from tinytorch.compression.scores import Loss
from tinytorch.compression.shrunk import Counted, Shrunk, report_of
from tinytorch.errors import CompressionError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.quantization.calibrate import Batch

Scope: TypeAlias = Literal["layer", "global"]
Chosen: TypeAlias = "Sequence[tuple[Group, float]]"
"""Groups, each with the share of its channels that is to go."""


def shrink(
    model: Module,
    inputs: Inputs,
    amount: float | Mapping[str, float],
    *,
    score: str = "magnitude",
    what: Sequence[str] = ("channels",),
    scope: Scope = "layer",
    batches: Iterable[Batch] | None = None,
    loss: Loss | None = None,
    round_to: int = 1,
    least: int = 1,
) -> Shrunk:
    """A copy of the model without its least important channels; the model itself stays as it is.

    `inputs`: what the model is called with, or None for its `example_input`; its ops are followed on them.
    `amount`: the share of the channels of each group that goes, above 0 and below 1, or shares by the path of
    a layer. `what`: the kinds that go where no layers are named, of "channels" (filters and neurons), "heads"
    of attention, and "width" (features that a layer norm is taken over: what is left is normed otherwise).
    `scope` "global" lets groups compete: the share of all channels goes, by scores over their root mean
    square in the group. `score`, `batches`, `loss`: see `importance`. At least `least` channels of a group
    stay, and a multiple of `round_to` of them where some go. Channels that cannot be followed stay; the
    report says why, and naming their layer raises CompressionError.

    Raises CompressionError for a share outside, unknown layers, kinds, scores and scopes, a model in which
    nothing can be removed, and one with a layer that keeps sizes of its own.

    >>> from tinytorch.models import MLP
    >>> smaller = shrink(MLP((16, 8, 4)), None, 0.5)
    >>> smaller.model.sizes
    (16, 4, 4)
    """
    if scope not in get_args(Scope):
        raise CompressionError(f"shrink: scope={scope!r}; expected one of {', '.join(get_args(Scope))}")
    if round_to < 1 or least < 1:
        raise CompressionError(f"shrink: round_to={round_to}, least={least}; expected 1 or more")
    if scope == "global" and isinstance(amount, Mapping):
        raise CompressionError("shrink: amounts by layer leave nothing to choose globally. Give one share.")
    given = given_to(model, inputs)
    found = dependencies(model, given)
    chosen = _chosen(found, amount, what)
    scores = importance(model, found, [group for group, _ in chosen], score, batches, loss)
    counts = _counts(chosen) if scope == "layer" else _counts_of_all(chosen, scores)
    removed = np.zeros(found.count, bool)
    for (group, _), count in zip(chosen, counts, strict=True):
        stays = keep_largest(scores[group.channels], _rounded(count, len(group), round_to, least))
        removed[group.channels] = True
        removed[group.channels[stays]] = False
    small = without(model, found, removed, given)
    return Shrunk(small, report_of(found.groups, removed, Counted.of(model, given), Counted.of(small, given)))


def _chosen(found: Dependencies, amount: float | Mapping[str, float], what: Sequence[str]) -> Chosen:
    """The groups that lose channels, each once, with their shares."""
    if isinstance(amount, Mapping):
        pairs: dict[int, tuple[Group, float]] = {}
        for layer, share in amount.items():
            group = found.group(layer)
            _require_share(layer, share)
            if id(group) in pairs and pairs[id(group)][1] != share:
                raise CompressionError(f"{layer}: two shares are given for its channels, which go together")
            pairs[id(group)] = group, share
        if not pairs:
            raise CompressionError("shrink: the amounts name no layer")
        return list(pairs.values())
    _require_share("shrink", amount)
    unknown = [kind for kind in what if kind not in KINDS]
    if unknown or not what:
        raise CompressionError(f"shrink: what={tuple(what)}; expected some of {', '.join(KINDS)}")
    chosen = [(group, amount) for group in found.groups if group.kind in what and not group.fixed]
    if not chosen:
        reasons = [
            f"{g.name}: {g.fixed or f'they are {g.kind}, which what= does not name'}" for g in found.groups
        ]
        raise CompressionError(
            f"shrink: the model has no {' or '.join(what)} that can be removed. "
            f"{'; '.join(reasons[:4]) or 'No weights make any'}"
        )
    return chosen


def _require_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        cure = (
            "All would be removed" if share == 1 else "Nothing would be removed" if share == 0 else "No share"
        )
        raise CompressionError(
            f"{name}: amount {share:g} is not above 0 and below 1. {cure}; 0.5 removes half of the channels."
        )


def _counts(chosen: Chosen) -> list[int]:
    """How many of each group stay by its own share."""
    return [len(group) - count_of_zeros(len(group), share) for group, share in chosen]


def _counts_of_all(chosen: Chosen, scores: Array) -> list[int]:
    """How many of each group stay when those with the lowest scores of all go."""
    compared = [_comparable(scores[group.channels]) for group, _ in chosen]
    of = np.repeat(np.arange(len(chosen)), [len(group) for group, _ in chosen])
    total = len(of)
    stay = keep_largest(np.concatenate(compared), total - count_of_zeros(total, chosen[0][1]))
    return [int(n) for n in np.bincount(of[stay], minlength=len(chosen))]


def _comparable(scores: Array) -> Array:
    """Scores over their root mean square, so that layers of other scales can be compared."""
    scale = math.sqrt(float(np.square(scores).mean()))
    return scores / scale if scale else scores


def _rounded(count: int, size: int, round_to: int, least: int) -> int:
    """How many stay: `least` or more, a multiple of `round_to`, and no more than there are."""
    return min(size, -(-max(count, least) // round_to) * round_to)
