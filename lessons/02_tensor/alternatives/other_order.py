"""The same results by other NumPy functions and in another order."""


def broadcast(op, *shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        ndim = max(map(len, shapes))
        table = np.array([[1] * (ndim - len(s)) + list(s) for s in shapes])
        bad = next(i for i in range(ndim) if len(set(table[:, i].tolist()) - {1}) > 1)
        listed = " ".join(map(str, shapes))
        raise ShapeError(f"{op}: {listed} do not fit together along axis {bad - ndim}") from None


def to_array(data, dtype=None):
    if type(data).__name__ == "Tensor":
        raise DTypeError("a Tensor is no data for a Tensor")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(str(error)) from None
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype.kind in "iub"):
        raise DTypeError(f"{array.dtype}: not numbers")
    if dtype is None:
        numpy_made = isinstance(data, np.ndarray | np.generic)
        dtype = as_dtype(array.dtype if numpy_made or array.dtype != np.float64 else "float32")
    return np.array(array, dtype, copy=True)


class Add:
    def forward(self, a, b):
        return b + a


class MatMul:
    def infer(self, a, b):
        require_float("matmul", a, b)
        shown = f"matmul {a.shape} by {b.shape}"
        if min(a.ndim, b.ndim) < 2:
            raise ShapeError(f"{shown}: too few axes")
        (n, k), (k2, m) = a.shape[-2:], b.shape[-2:]
        lead = broadcast("matmul", a.shape[:-2], b.shape[:-2]) if k == k2 else ()
        if k2 - k:
            cure = {k: " Did you mean w.mT?"}.get(m) or {n: " Did you mean a.mT @ b?"}.get(k2) or ""
            raise ShapeError(f"{shown}: {k} and {k2} differ.{cure}")
        return Spec([*lead, n, m], a.dtype)

    def forward(self, a, b):
        return np.einsum("...ik,...kj->...ij", a, b)


def reshape(x, shape):
    shape = list(shape)
    if shape.count(-1) == 1 and 0 not in shape:
        i = shape.index(-1)
        size, rest = divmod(x.size, math.prod(shape[:i] + shape[i + 1 :]))
        if rest:
            raise ShapeError(f"reshape: {x.shape} into {tuple(shape)}: {rest} elements are left")
        shape[i] = size
    elif -1 in shape:
        raise ShapeError(f"reshape: {x.shape} into {tuple(shape)}: -1 could be anything")
    same = len(shape) == x.ndim and all(n == m for n, m in zip(shape, x.shape, strict=True))
    return x if same else Reshape(tuple(shape))(x)


def transpose(x, axis0, axis1):
    axes = (normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim))
    other = dict(zip(axes, axes[::-1], strict=True))
    return Permute(tuple(other.get(axis, axis) for axis in range(x.ndim)))(x)


class Expand:
    def forward(self, a):
        if np.broadcast_shapes(a.shape, self.shape) != self.shape:
            raise ValueError(f"{a.shape} does not stretch to {self.shape}")
        return np.broadcast_arrays(a, np.empty(self.shape, bool))[0]


class Reduction:
    def reduced_shape(self, shape, keepdims):
        left = list(shape)
        for axis in sorted(self.axis, reverse=True):
            left[axis : axis + 1] = [1] * keepdims
        return tuple(left)


class Mean:
    def forward(self, a):
        with np.errstate(all="ignore"):
            total = np.add.reduce(a, self.axis, keepdims=self.keepdims)
            return (total / np.prod([a.shape[i] for i in self.axis] + [1])).astype(a.dtype)


def var(x, axis=None, keepdims=False, correction=1):
    axes = _axes("var", axis, x.ndim)
    count = math.prod([x.shape[i] for i in axes])
    apart = mean(x, axes, True) - x
    rest = count - correction
    return mean(apart * apart, axes, keepdims) * (count / rest if rest > 0 else float("nan"))


class Gather:
    def forward(self, a, ids):
        size = a.shape[self.axis]
        if ids.size and (ids.max() >= size or ids.min() < -size):
            raise _out_of_range("gather", ids, size, self.axis)
        grid = list(np.ogrid[tuple(slice(n) for n in ids.shape)])
        grid[self.axis] = ids
        return a[tuple(grid)]
