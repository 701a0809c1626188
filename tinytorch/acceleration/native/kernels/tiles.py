"""Register tiles: sums of products that stay in registers, and operands packed for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import load_run
from tinytorch.acceleration.native.kernels.products import Floats, Products
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of

SUMS = 12
"""Vectors of sums in a tile: they stay in registers, and four registers are left for operands."""
CACHE_LINE = 64
"""Bytes."""
UNROLLED, TOGETHER = 9, 4
"""Products that are written one after the other rather than in a loop, and how many in each round of one."""


@dataclass(frozen=True)
class Ahead:
    """Where the cache fetches panels from: as many lines as a block of k is deep, each a panel wide."""

    start: Pointer
    panel: int
    """Elements from one panel to the next."""
    line: int
    """Elements from one line to the next."""

    def fetch(self, panel: Value, line: Value, width: int) -> None:
        """Have one line of a panel brought into the cache."""
        first = self.start + (panel * self.panel + line * self.line)
        for column in range(0, width, CACHE_LINE // first.dtype.itemsize):
            (first + column).fetch()


@dataclass(frozen=True)
class Side:
    """The right operand of a product as panels of columns."""

    start: Pointer
    width: int
    line: int
    """Elements from one k to the next."""
    panel: int
    """Elements from one panel to the next."""
    step: int = 1
    """Elements from one column to the next."""
    dense: bool = False
    """Whether the last panel is filled up, so that whole vectors may be read."""
    pack: Callable[[Value, int], None] | None = None
    """Packs the panel of a number, with so many columns, when its turn comes: all lie at the same place."""
    ahead: Ahead | None = None
    """Where to find the next panel: it is fetched while this one is used, if that takes long enough."""
    stream: int = 0
    """How many elements ahead of those in use to fetch, where one tile has all rows: each is used once."""
    codes: Products | None = None
    """How elements are multiplied where they hold codes; widths, lines and steps count such elements."""

    @property
    def products(self) -> Products:
        """How elements are multiplied."""
        return self.codes or Floats(self.start.dtype)


Finish = Callable[[Value, Value, Value, int], None]
"""What is done with a vector of sums: (sums, row, first column, how many of its lanes count)."""


def emit_tiles(
    e: Emitter,
    m: int,
    n: int,
    k: int | Value,
    a: Pointer,
    strides: Sequence[int] | None,
    side: Side,
    finish: Finish,
    *,
    panels: Value | None = None,
    first_row: Value | None = None,
    shared: bool = False,
) -> None:
    """All tiles of an (m, k) by (k, n) product: `strides` are those of a, from row to row and from k to k.

    No strides: a lies in tiles, as `pack_rows` leaves them. `panels` limits the columns to so many panels,
    which must be whole; `first_row` counts rows from there. With `shared` each thread has its own panels.
    """
    lanes = side.products.lanes

    def panel(index: Value, start: Value, columns: int) -> None:
        if side.pack is not None:
            side.pack(index, columns)
        here = side.start if side.pack is not None else side.start + index * side.panel
        vectors = -(-columns // lanes)
        most = rows_of(columns if strides else side.width, lanes)
        for first, rows, count in row_tiles(m, most):

            def tile(row: Value, rows: int = rows) -> None:
                def fetch(at: Value) -> None:
                    """Fetch what is due of the next panel: all of its lines by the end of the last tile."""
                    assert side.ahead is not None, "called only then"
                    line = ((row * k + at * rows) * ((1 << 20) // m)) >> 20
                    side.ahead.fetch(index + 1, line, side.width)

                def stream(at: Value) -> None:
                    """Fetch the line that is due in a while: it is used once, and memory is far."""
                    line = here + (at * side.line + side.stream)
                    for column in range(0, side.width * line.dtype.itemsize, CACHE_LINE):
                        (line + column // line.dtype.itemsize).fetch()

                if strides:
                    tops, step = [a + (row + r) * strides[0] for r in range(rows)], strides[1]
                else:
                    tops, step = [a + (row * k + r) for r in range(rows)], rows
                counts = [min(lanes, columns - v * lanes) for v in range(vectors)]
                due = fetch if side.ahead and m > most else stream if side.stream and m <= most else None
                sums = tile_sums(e, tops, step, here, side, counts, k, due)
                for r, line in enumerate(sums):
                    for v, total in enumerate(line):
                        at = row + r if first_row is None else row + r + first_row
                        finish(total, at, start + v * lanes, counts[v])

            each(e, first, rows, count, tile)

    if panels is not None:
        with e.loop(panels) as loop:
            panel(loop.index, loop.index * side.width, side.width)
        return
    whole = n // side.width
    if whole:
        with e.shared_loop(whole) if shared else e.loop(whole) as loop:
            panel(loop.index, loop.index * side.width, side.width)
    if n % side.width:
        with e.last_thread() if shared else nullcontext():
            panel(e.index(whole), e.index(whole * side.width), n % side.width)


def rows_of(columns: int, lanes: int) -> int:
    """How many rows a tile of so many columns has at most."""
    return max(1, SUMS // -(-columns // lanes))


def tile_sums(
    e: Emitter,
    tops: Sequence[Pointer],
    step: int,
    b: Pointer,
    side: Side,
    counts: Sequence[int],
    k: int | Value,
    fetch: Callable[[Value], None] | None = None,
) -> list[list[Value]]:
    """The sums of a tile: for each row, whose a begins at its top, vectors of `counts` columns."""
    zeros = [side.products.zeros(e)] * (len(tops) * len(counts))
    sums = add_products(e, tops, step, b, side, counts, k, zeros, fetch)
    return [sums[r * len(counts) : (r + 1) * len(counts)] for r in range(len(tops))]


def add_products(
    e: Emitter,
    tops: Sequence[Pointer],
    step: int,
    b: Pointer,
    side: Side,
    counts: Sequence[int],
    k: int | Value,
    sums: Sequence[Value],
    fetch: Callable[[Value], None] | None = None,
) -> list[Value]:
    """The sums of a tile, row after row, with k more products added to each; few are not in a loop."""
    products, vectors = side.products, len(counts)

    def add(index: Value, sums: Sequence[Value]) -> list[Value]:
        if fetch is not None:
            fetch(index)
        line = b + index * side.line
        right = [
            products.right(
                e, line + v * products.lanes * side.step, side.step, None if side.dense else counts[v]
            )
            for v in range(vectors)
        ]
        totals = []
        for r, top in enumerate(tops):
            left = products.left(e, top + index * step)
            totals += [products.add(e, left, right[v], sums[r * vectors + v]) for v in range(vectors)]
        return totals

    if isinstance(k, int) and k <= UNROLLED:
        for i in range(k):
            sums = add(e.index(i), sums)
        return list(sums)
    if not isinstance(k, int):
        with e.loop(k, sums) as loop:
            loop.carry(add(loop.index, loop.carried))
        return loop.results
    together = products.together
    whole = k // together * together
    with e.loop(whole, sums, step=together) as loop:
        part = loop.carried
        for i in range(together):
            part = add(loop.index + i, part)
        loop.carry(part)
    part = loop.results
    for i in range(whole, k):
        part = add(e.index(i), part)
    return part


def pack(
    e: Emitter,
    b: Pointer,
    strides: Sequence[int],
    k: int,
    n: int,
    into: Pointer,
    width: int,
    *,
    shared: bool = False,
) -> Side:
    """Copy a (k, n) operand into panels, the last filled up with zeros; with `shared` each thread its own."""

    def panel(index: Value, columns: int) -> None:
        source, target = b + index * (width * strides[1]), into + index * (width * k)
        pack_panel(e, source, strides, k, columns, target, width)

    whole = n // width
    if whole:
        with e.shared_loop(whole) if shared else e.loop(whole) as loop:
            panel(loop.index, width)
    if n % width:
        with e.last_thread() if shared else nullcontext():
            panel(e.index(whole), n % width)
    return Side(into, width, width, width * k, dense=True)


def pack_panel(
    e: Emitter, b: Pointer, strides: Sequence[int], k: int, columns: int, into: Pointer, width: int
) -> None:
    """Copy `columns` columns of k elements into rows of `width`, filled up with zeros."""
    lanes = lanes_of(b.dtype)
    b_k, b_n = strides
    for v in range(width // lanes):
        part, goal = b + v * lanes * b_n, into + v * lanes
        count = min(lanes, columns - v * lanes)
        if b_k == 1 and b_n != 1 and count == lanes and k >= lanes:
            _pack_across(e, part, b_n, goal, k, width)
            continue
        with e.loop(k) as line:
            if count <= 0:
                vector = e.zeros(b.dtype, lanes)
            else:
                vector = load_run(part + line.index * b_k, b_n, lanes, count)
            (goal + line.index * width).store(vector)


def _pack_across(e: Emitter, source: Pointer, stride: int, target: Pointer, k: int, width: int) -> None:
    """Pack columns that lie as rows: squares of them are turned in registers."""
    lanes = lanes_of(source.dtype)

    def square(at: Value) -> None:
        rows = [(source + (at + i * stride)).load(lanes) for i in range(lanes)]
        for i, column in enumerate(e.turned(rows)):
            (target + (at + i) * width).store(column)

    with e.loop(k // lanes * lanes, step=lanes) as loop:
        square(loop.index)
    if k % lanes:
        square(e.index(k - lanes))  # some lines twice


def pack_rows(
    e: Emitter, a: Pointer, strides: Sequence[int], m: int, k: int, most: int, into: Pointer
) -> None:
    """Copy an (m, k) operand into tiles of at most `most` rows: (k, rows) each, as a tile reads them.

    Whole vectors are stored; what one spills lies where the next goes, and behind the last must be room.
    """
    lanes, (a_m, a_k) = lanes_of(a.dtype), strides
    for first, rows, count in row_tiles(m, most):

        def tile(row: Value, rows: int = rows) -> None:
            source, goal = a + row * a_m, into + row * k

            def columns(at: Value) -> None:
                """As many k at a time as a vector holds of a row, or one where rows lie beside each other."""
                parts = []
                for r in range(0, rows, lanes):
                    here = source + (at * a_k + r * a_m)
                    if a_m == 1:
                        parts.append([here.load(lanes, rows - r)])
                    else:
                        lines = [here + min(i, rows - r - 1) * a_m for i in range(lanes)]
                        parts.append(e.turned([line.load(lanes) for line in lines]))
                for i, column in enumerate(zip(*parts, strict=True)):
                    for r, part in zip(range(0, rows, lanes), column, strict=True):
                        (goal + ((at + i) * rows + r)).store(part)

            step = 1 if a_m == 1 else lanes
            with e.loop(k // step * step, step=step) as loop:
                columns(loop.index)
            if k % step:
                columns(e.index(k - step))

        each(e, first, rows, count, tile)


def row_tiles(m: int, most: int) -> list[tuple[int, int, int]]:
    """How m rows are cut into tiles of at most `most`, none small: (first row, rows, tiles) of each kind.

    >>> row_tiles(32, 6), row_tiles(13, 6), row_tiles(3, 6)
    ([(0, 6, 4), (24, 4, 2)], [(0, 6, 1), (6, 4, 1), (10, 3, 1)], [(0, 3, 1)])
    """
    whole, rest = divmod(m, most)
    if not rest:
        return [(0, most, whole)]
    if not whole:
        return [(0, rest, 1)]
    if 2 * rest > most or most < 4:
        return [(0, most, whole), (whole * most, rest, 1)]
    both = most + rest
    large, small = -(-both // 2), both // 2
    first = (whole - 1) * most
    tiles = [(0, most, whole - 1)] if whole > 1 else []
    if large == small:
        return [*tiles, (first, large, 2)]
    return [*tiles, (first, large, 1), (first + large, small, 1)]


def each(
    e: Emitter, first: int, size: int, count: int, emit: Callable[[Value], None], shared: bool = False
) -> None:
    """Emit for tiles that follow each other: in a loop where there are several."""
    if count == 0:
        return
    if count == 1:
        with e.last_thread() if shared else nullcontext():
            emit(e.index(first))
        return
    with e.shared_loop(size * count, size) if shared else e.loop(size * count, step=size) as loop:
        emit(loop.index + first if first else loop.index)
