"""The passes in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.passes.common import merge_equal
from tinytorch.acceleration.passes.dead import remove_dead
from tinytorch.acceleration.passes.decompose import decompose
from tinytorch.acceleration.passes.fuse import fuse, fuse_pools
from tinytorch.acceleration.passes.prepare import fold_scales, prepare
from tinytorch.acceleration.passes.rematerialize import rematerialize
from tinytorch.acceleration.passes.reshapes import sink_reshapes
from tinytorch.acceleration.passes.rows import take_early
from tinytorch.acceleration.passes.schedule import update_early
from tinytorch.acceleration.passes.simplify import simplify

Pass = Callable[[Graph], Graph]

PASSES: Sequence[Pass] = (
    remove_dead,
    simplify,
    rematerialize,
    decompose,
    simplify,
    take_early,
    merge_equal,
    sink_reshapes,
    merge_equal,
    fold_scales,
    remove_dead,
    prepare,
    rematerialize,
    fuse,
    fuse_pools,
    remove_dead,
    update_early,
)


def optimise(graph: Graph, passes: Sequence[Pass] = PASSES) -> Graph:
    """The graph after all passes."""
    for one in passes:
        graph = one(graph)
    return graph
