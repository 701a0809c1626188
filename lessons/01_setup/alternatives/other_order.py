"""The same by other means: sorting, tables and NumPy."""


def duration(seconds):
    parts = [int(seconds) // 3600, int(seconds) // 60 % 60, int(seconds) % 60]
    if not parts[0]:
        parts = parts[1:]
    return ":".join([str(parts[0])] + [f"{part:02d}" for part in parts[1:]])


def quantity(amount, unit):
    if unit != "B":
        return f"{amount:.2g} {unit}" if amount < 10 and amount % 1 else f"{round(amount):,} {unit}"
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if amount >= 2 ** (10 * power):
            return f"{amount / 2 ** (10 * power):.1f} {name}"
    return f"{amount:.0f} B"


def bar_text(part, columns, strokes):
    done, rest = (strokes + "  ")[:2]
    text = done * max(0, min(columns, round(part * columns)))
    return text.ljust(columns, rest) if strokes else ""


def sparkline(values, columns, strokes):
    import numpy as np

    n = len(values)
    if n == 0:
        return ""
    k = min(n, columns)
    edges = [i * n // k for i in range(k + 1)]
    means = np.array([np.mean(values[a:b]) for a, b in zip(edges, edges[1:], strict=False)])
    good = np.isfinite(means)
    scaled = np.where(good, means, 0) / 8
    low = scaled[good].min() if good.any() else 0.0
    span = scaled[good].max() - low if good.any() else 0.0
    steps = np.clip((scaled - low) / (span or 1) * len(strokes), 0, len(strokes) - 1).astype(int)
    return "".join(strokes[s] if ok else "x" for s, ok in zip(steps, good, strict=True))


class Spec:
    def size(self):
        return 0 if 0 in self.shape else math.prod(sorted(self.shape))

    def nbytes(self):
        return math.prod((*self.shape, self.dtype.itemsize))


def normalize_axis(op, axis, ndim):
    try:
        return (list(range(ndim)) or [0])[axis]
    except IndexError:
        raise ShapeError(f"{op}: {axis} is no axis of a tensor that has {ndim}") from None


def result_type(*dtypes):
    return sorted(dtypes, key=lambda d: (RANK[d.kind], d.itemsize))[-1]


def require_float(op, *specs):
    dtypes = [spec.dtype for spec in specs]
    whole = [str(dtype) for dtype in dtypes if dtype.kind in "bi"]
    if whole:
        raise DTypeError(f"{op}: no floats: {', '.join(whole)}")
    if len(set(dtypes)) != 1:
        raise DTypeError(f"{op}: several dtypes: {', '.join(map(str, dtypes))}")
