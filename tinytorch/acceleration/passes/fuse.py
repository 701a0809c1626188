"""Fusion: chains of element-wise calls become one, and go into the product or the sum beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from tinytorch.acceleration.fused import Fused, parts
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes.elementwise import is_elementwise
from tinytorch.ops import blocks, conv, integer, matmul, pool, sparse
from tinytorch.ops.base import Op
from tinytorch.ops.context import rules
from tinytorch.ops.index import Slice
from tinytorch.ops.reduce import Max, Mean, Min, Sum
from tinytorch.ops.shape import Layout
from tinytorch.ops.spec import Shape

OF_CODES: tuple[type[Op], ...] = (
    integer.IntMatMul,
    integer.IntConv2d,
    integer.GroupMatMul,
    blocks.BlockLinear,
)
"""Products of codes."""
OF_SPARSE: tuple[type[Op], ...] = (sparse.LinearCSR, sparse.LinearBlocked)
"""Products with sparse weights."""
ANCHORS: tuple[type[Op], ...] = (matmul.MatMul, conv.Conv2d, conv.Conv2dInputGrad, *OF_CODES, *OF_SPARSE)
"""Ops whose kernel can go on with element-wise work while its result is in registers."""
SINKS: tuple[type[Op], ...] = (Sum, Mean, Max, Min)
"""Ops that can compute their operand on the way."""


@dataclass(frozen=True)
class Group:
    """Calls that one kernel computes, by position, in the order in which they run in it.

    The kernel stands where the last of them stood in the graph. `shape` is that of all element-wise results
    in it. `anchored`: its first call is a product, whose epilogue the others are. `closed`: it ends in a sum,
    and nothing more may join.
    """

    shape: Shape
    calls: tuple[int, ...]
    anchored: bool = False
    closed: bool = False


class DefUse:
    """A graph with its def-use chains: which call makes each value, and which calls read it, by position."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.results = graph.results()
        """Values that outlive the run."""
        self._makers, self._users = graph.makers(), graph.users()

    def maker(self, value: int) -> int:
        """The position of the call that makes a value; -1 for one that no call makes."""
        return self._makers.get(value, -1)

    def readers(self, value: int) -> Sequence[int]:
        """The positions of the calls that read a value, in order."""
        return self._users.get(value, ())


def fuse(graph: Graph) -> Graph:
    """The graph with groups of calls as `Fused` ops.

    Call by call, an element-wise one joins the groups that made its operands, where that changes nothing. A
    group that begins with a product keeps that at its front: the rest is the product's epilogue. A sum takes
    in the group that makes its operand if it is the only one to read it.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> [call.op.name for call in fuse(trace(lambda x: (x * 2.0).exp() + x, [Tensor([1.0])]).graph).calls]
    ['mul+exp+add']
    """
    chains = DefUse(graph)
    groups: dict[int, Group] = {}
    for at in range(len(graph.calls)):
        group = _group_at(chains, groups, at)
        if group is not None:
            groups.update(dict.fromkeys(group.calls, group))
    calls = []
    for at, call in enumerate(graph.calls):
        group = groups.get(at)
        if group is None or len(group.calls) == 1:
            calls.append(call)
        elif at == max(group.calls):
            calls.append(fused_call(chains, group))
    return graph.with_calls(_ordered(calls))


def _group_at(chains: DefUse, groups: Mapping[int, Group], at: int) -> Group | None:
    """The group that the call at this position begins, joins or closes; None if it stays by itself."""
    graph, call = chains.graph, chains.graph.calls[at]
    if is_elementwise(call, graph.specs):
        return join(chains, groups, at)
    if _has_rule(call) or not _is_simple(graph, call):
        return None
    if type(call.op) in ANCHORS:
        return Group(graph.specs[call.outputs[0]].shape, (at,), anchored=True)
    return _closed_by(chains, groups, at) if type(call.op) in SINKS else None


def _has_rule(call: Call) -> bool:
    return type(call.op).__name__ in rules


def _is_simple(graph: Graph, call: Call) -> bool:
    """Whether a kernel computes it at all: floats, codes or sparse weights, and none without elements."""
    specs = [graph.specs[v] for v in (*call.inputs, *call.outputs)]
    one = {s.dtype.name for s in specs}
    mixed = type(call.op) in (*OF_CODES, *OF_SPARSE)
    return all(s.size for s in specs) and (one in ({"float32"}, {"float64"}) or mixed)


def is_view(call: Call) -> bool:
    """Whether the call only looks at its operand in another way."""
    return isinstance(call.op, Layout | Slice)


# ---------------------------------------------------------------- groups


def fused_call(chains: DefUse, group: Group) -> Call:
    """All calls of a group as one call of a `Fused` op, which has them in the order of `group.calls`.

    It reads what a member reads and no member makes. Its results are what a member makes (`call.made`) and
    somebody else wants: it is among `chains.results`, or a call that is no member reads it; whatever else
    the members make never comes to memory. Both come once each, in the order of the members, and are inputs
    and outputs of the call as well as `inputs` and `results` of the op; the op's `specs` are those of all
    values that its members read or make. The call has the path of its first member if the group is anchored,
    else of its last, and is `backward` if any member is.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: (x.exp().relu(), x.relu()), [Tensor([1.0])]).graph
    >>> call = fused_call(DefUse(graph), Group((1,), (0, 1)))
    >>> call.op.name, call.inputs == graph.inputs, call.outputs == graph.outputs[:1]
    ('exp+relu', True, True)
    """
    graph, inside = chains.graph, set(group.calls)
    members = [graph.calls[at] for at in group.calls]
    made = dict.fromkeys(v for call in members for v in call.made)
    inputs = dict.fromkeys(v for call in members for v in call.inputs if v not in made)
    results = [v for v in made if v in chains.results or not inside.issuperset(chains.readers(v))]
    specs = {v: graph.specs[v] for v in (*inputs, *made)}
    op = Fused(tuple(members), tuple(inputs), tuple(results), specs)
    path = members[0 if group.anchored else -1].path
    return Call(op, tuple(inputs), tuple(results), (), path, any(call.backward for call in members))


def may_wait(chains: DefUse, members: Set[int], at: int) -> bool:
    """Whether calls, by position, may all run only where the call at `at` stands.

    They may if no call that stands before `at`, and is no member itself, reads what they make. A view (see
    `is_view`) does not read: it is moved behind what it looks at. But what reads the view, or a view of it,
    does. Results of the whole graph are read when all calls have run, so they do not matter.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: x.exp().sum() + x.exp(), [Tensor([1.0])]).graph  # exp, sum, exp, add
    >>> may_wait(DefUse(graph), {0}, 3), may_wait(DefUse(graph), {2}, 3)
    (False, True)
    """
    pending = [v for member in members for v in chains.graph.calls[member].made]
    while pending:
        for reader in chains.readers(pending.pop()):
            if reader >= at or reader in members:
                continue
            if not is_view(chains.graph.calls[reader]):
                return False
            pending += chains.graph.calls[reader].made
    return True


def sees_itself(chains: DefUse, members: Set[int]) -> bool:
    """Whether a member reads through a view what another makes: in a kernel there is no array to look at."""
    for member in members:
        for value in chains.graph.calls[member].inputs:
            maker = chains.maker(value)
            while maker >= 0 and maker not in members and is_view(chains.graph.calls[maker]):
                maker = chains.maker(chains.graph.calls[maker].inputs[0])
                if maker in members:
                    return True
    return False


def can_join(chains: DefUse, group: Group, other: Group) -> bool:
    """Whether two groups may become one, which runs where `other` stands, the later of both.

    `other.calls` ends with the call there. They may if

    - they have one shape, neither is closed, and no call is in both;
    - they have one product at most, which as the first of all reads nothing that the other group makes;
    - all calls of both `may_wait`, and none of them `sees_itself` in another.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: x.exp().sum() + x.exp(), [Tensor([1.0])]).graph  # exp, sum, exp, add
    >>> [can_join(DefUse(graph), Group((1,), (at,)), Group((1,), (3,))) for at in (0, 2)]
    [False, True]
    """
    at, both = other.calls[-1], {*group.calls, *other.calls}
    if (
        group.closed
        or other.closed
        or group.shape != other.shape
        or len(both) < len(group.calls + other.calls)
    ):
        return False
    if group.anchored and other.anchored:
        return False
    for product, rest in ((group, other), (other, group)):
        read = chains.graph.calls[product.calls[0]].inputs if product.anchored else ()
        if any(chains.maker(v) in rest.calls for v in read):
            return False
    return may_wait(chains, both, at) and not sees_itself(chains, both)


def united(group: Group, other: Group) -> Group:
    """Two groups as one: the product of either at the front, and the other calls in the graph's order."""
    front = group.calls[:1] if group.anchored else other.calls[:1] if other.anchored else ()
    rest = sorted({*group.calls, *other.calls} - {*front})
    return Group(other.shape, (*front, *rest), anchored=bool(front))


def join(chains: DefUse, groups: Mapping[int, Group], at: int) -> Group:
    """The group in which the element-wise call at position `at` runs: itself and whom it can join.

    `groups` has the group of each call before it that is in one, by position; it stays as it is. At first
    the call is a group of its own, of the shape of what it makes. Then, one operand after the other, the
    group of the call that makes the operand is `united` with what there is so far, if it is in one and both
    `can_join`.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: x.exp().relu(), [Tensor([1.0])]).graph
    >>> join(DefUse(graph), {0: Group((1,), (0,))}, 1)
    Group(shape=(1,), calls=(0, 1), anchored=False, closed=False)
    """
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            joined = united(group, joined)
    return joined


def _closed_by(chains: DefUse, groups: Mapping[int, Group], at: int) -> Group | None:
    """The group that makes the operand of a sum, with the sum behind it, if nobody else wants that."""
    call = chains.graph.calls[at]
    group = groups.get(chains.maker(call.inputs[0]))
    if group is None or group.anchored or group.closed:
        return None
    inside = {*group.calls, at}
    for member in group.calls:
        for value in chains.graph.calls[member].made:
            if value in chains.results or not inside.issuperset(chains.readers(value)):
                return None
    return Group(group.shape, (*group.calls, at), closed=True)


def _ordered(calls: Sequence[Call]) -> list[Call]:
    """The calls with each view where it is first read: behind what it looks at, even if that waited."""
    makers = {value: call for call in calls for value in call.made}
    done: set[int] = set()
    ordered: list[Call] = []

    def place(call: Call) -> None:
        if id(call) in done:
            return
        done.add(id(call))
        for value in call.inputs:
            maker = makers.get(value)
            if maker is not None and is_view(maker):
                place(maker)
        ordered.append(call)

    for call in calls:
        if not is_view(call):
            place(call)
    for call in calls:  # those that only the result reads
        place(call)
    return ordered


# ---------------------------------------------------------------- max-pools


def fuse_pools(graph: Graph) -> Graph:
    """The graph with max-pools of 2x2 windows put behind the convolution that makes their image.

    A tile of the convolution then covers whole windows, and only the largest of each goes to memory. Where
    the image or the position of the largest is wanted too, as in training, nothing is fused.
    """
    makers, users, kept = graph.makers(), graph.users(), graph.results()
    taken: dict[int, int] = {}
    for at, call in enumerate(graph.calls):
        if not _is_half_pool(call) or any(users.get(v) or v in kept for v in call.outputs[1:]):
            continue
        source = makers.get(call.inputs[0])
        if source is None or _has_rule(call):
            continue
        maker = graph.calls[source]
        front = parts(maker)[0]
        alone = len(maker.outputs) == 1 and users[call.inputs[0]] == [at] and call.inputs[0] not in kept
        plain = type(front.op) in (conv.Conv2d, integer.IntConv2d)
        if plain and len(front.inputs) == 2 and alone:
            taken[source] = at
    calls = []
    gone = set(taken.values())
    for at, call in enumerate(graph.calls):
        if at in taken:
            calls.append(_with_pool(graph, call, graph.calls[taken[at]]))
        elif at not in gone:
            calls.append(call)
    return graph.with_calls(calls)


def _is_half_pool(call: Call) -> bool:
    op = call.op
    return type(op) is pool.MaxPool2d and (op.kernel, op.stride, op.padding) == ((2, 2), (2, 2), (0, 0))


def _with_pool(graph: Graph, call: Call, last: Call) -> Call:
    members = (*parts(call), last)
    values = {v for one in members for v in (*one.inputs, *one.made)}
    specs = {
        v: call.op.specs[v] if isinstance(call.op, Fused) and v in call.op.specs else graph.specs[v]
        for v in values
    }
    results = last.outputs[:1]
    return Call(
        Fused(members, call.inputs, results, specs), call.inputs, results, (), call.path, call.backward
    )
