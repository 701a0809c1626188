"""A language model out of a program file: decoded over a cache, though the program knows of none."""

from __future__ import annotations

from typing import Any

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.replay import Replay, fitted, growth
from tinytorch.errors import ProgramError
from tinytorch.nn.attention import KVCacheLike
from tinytorch.ops.attention import Attention
from tinytorch.ops.index import take
from tinytorch.ops.spec import int64
from tinytorch.tensor import Tensor


class ProgramLanguage(Replay):
    """Logits (batch, t, vocab) of ids (batch, t), by a program for ids (1, context); a Decoder takes it.

    Causal attention goes to the cache, and what has a row for each position, as a table of positions, gives
    those of the tokens that are fed. Everything else must treat each position by itself; `Decoder` cannot
    see whether it does, so compare its logits with the program's. Raises ProgramError for what is no such
    program.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.caching import Decoder
    >>> from tinytorch.models import GPT
    >>> model = GPT(vocab_size=10, context=8, width=16, layers=1, heads=2)
    >>> with tt.no_grad():
    ...     graph = trace(model, (model.example_input,)).graph
    >>> Decoder(ProgramLanguage(graph), compiled=False).feed([[1, 2, 3]]).shape
    (1, 10)
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        (given, *others), (out, *more) = graph.inputs, graph.outputs
        ids, logits = graph.specs[given], graph.specs[out]
        if others or more or ids.dtype != int64 or ids.ndim != 2 or logits.ndim != 3:
            raise ProgramError(
                f"program: takes {ids} and gives {logits}; a language model takes int64 (1, context) "
                "and gives (1, context, vocabulary)"
            )
        self.context, self.vocab_size = ids.shape[1], logits.shape[2]
        self.time = growth(graph, 1, max(1, self.context // 2))
        if logits.shape[1] != self.context or self.time.axes.get(out) != (1,):
            raise ProgramError(f"program: gives {logits} for {ids}: no logits for each position")
        self._layers = {
            at: n for n, at in enumerate(i for i, c in enumerate(graph.calls) if isinstance(c.op, Attention))
        }
        shapes = {self._heads(at, call) for at, call in enumerate(graph.calls) if at in self._layers}
        if len(shapes) != 1:
            raise ProgramError(f"program: {len(shapes)} kinds of attention; a cache has pages of one")
        ((self.heads, self.kv_heads, head),) = shapes
        self.layers, self.width = len(self._layers), self.heads * head

    def _heads(self, at: int, call: Call) -> tuple[int, int, int]:
        """Heads of queries, of keys, and their width; raises ProgramError for other attention."""
        op, specs = call.op, [self.graph.specs[v] for v in call.inputs]
        assert isinstance(op, Attention)
        read = {v for other in self.graph.calls for v in other.inputs} | set(self.graph.outputs)
        times = [self.time.axes.get(v) for v in call.inputs]
        if not op.causal or len(specs) != 3 or times != [(2,)] * 3 or specs[0].ndim != 4:
            raise ProgramError(f"program: call {at} is attention of another kind than causal over the text")
        if read.intersection(call.outputs[1:]):
            raise ProgramError(f"program: call {at} gives its attention weights on, which a cache has not")
        return specs[0].shape[1], specs[1].shape[1], specs[0].shape[3]

    def forward(self, ids: Tensor, cache: KVCacheLike | None = None) -> Tensor:  # type: ignore[override]
        """Logits (batch, t, vocab) for ids (batch, t), behind what the cache holds, if there is one."""
        values: dict[int, Any] = {**self.held, self.graph.inputs[0]: ids}
        batch, t = ids.shape
        positions = None if cache is None else cache.positions(t)
        times = [(self.batch, batch / self.batch.size), (self.time, t / self.time.size)]
        for at, call in enumerate(self.graph.calls):
            given = [values[v] for v in call.inputs]
            if at in self._layers and cache is not None:
                values[call.outputs[0]] = self._attend(self._layers[at], call, given, cache)
                continue
            given = [self._rows(at, place, x, t, positions) for place, x in enumerate(given)]
            values.update(zip(call.outputs, fitted(call, times).all(*given), strict=True))
        found: Tensor = values[self.graph.outputs[0]]
        return found

    def _rows(self, at: int, place: int, x: Tensor, t: int, positions: Tensor | None) -> Tensor:
        """A fixed input of a call with a row for each position: those of the tokens that are fed."""
        axis = self.time.rows.get((at, place))
        if axis is None:
            return x
        table = x.reshape(*x.shape[axis:])
        return table[:t] if positions is None else take(table, positions)

    def _attend(self, layer: int, call: Call, given: list[Tensor], cache: KVCacheLike) -> Tensor:
        q, k, v = given
        assert isinstance(call.op, Attention)
        scale = call.op.scale * q.shape[-1] ** 0.5
        found: Tensor = cache.attend(layer, q if abs(scale - 1) < 1e-6 else q * scale, k, v)
        return found
