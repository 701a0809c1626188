"""Everything in plain loops, one element at a time."""


def padded_to(shape, ndim):
    return (1,) * (ndim - len(shape)) + tuple(shape)


def broadcast(op, *shapes):
    longest = 0
    for shape in shapes:
        longest = max(longest, len(shape))
    lined_up = [padded_to(shape, longest) for shape in shapes]
    result = []
    for axis in range(longest):
        size = 1
        for shape in lined_up:
            if shape[axis] == 1 or shape[axis] == size:
                continue
            if size != 1:
                listed = ", ".join(str(shape) for shape in shapes)
                raise ShapeError(f"{op} cannot broadcast {listed}: they differ at axis {axis - longest}")
            size = shape[axis]
        result.append(size)
    return tuple(result)


def to_array(data, dtype=None):
    if isinstance(data, Tensor):
        raise DTypeError("this is a Tensor already")
    from_python = not isinstance(data, np.ndarray) and not isinstance(data, np.generic)
    try:
        array = np.array(data)
    except ValueError:
        raise ShapeError("the lists are of different lengths") from None
    if array.dtype.kind not in ("b", "i", "u", "f"):
        raise DTypeError(f"{array.dtype} elements are not numbers")
    if dtype is not None:
        return array.astype(dtype)
    if from_python and array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(as_dtype(array.dtype))


class Add:
    def forward(self, a, b):
        a, b = np.broadcast_arrays(a, b)
        out = np.empty(a.shape, np.result_type(a, b))
        for at in np.ndindex(a.shape):
            out[at] = a[at] + b[at]
        return out


class MatMul:
    def infer(self, a, b):
        require_float("matmul", a, b)
        for spec in (a, b):
            if len(spec.shape) <= 1:
                raise ShapeError(f"matmul of {a.shape} and {b.shape} takes at least two axes of each")
        *lead_a, n, k = a.shape
        *lead_b, inner, m = b.shape
        if k != inner:
            message = f"matmul of {a.shape} and {b.shape}: the inner sizes {k} and {inner} are not the same"
            if k == m:
                message += ". Did you mean w.mT?"
            elif n == inner:
                message += ". Did you mean a.mT @ b?"
            raise ShapeError(message)
        return Spec(broadcast("matmul", tuple(lead_a), tuple(lead_b)) + (n, m), b.dtype)

    def forward(self, a, b):
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
        left, right = np.broadcast_to(a, (*lead, n, k)), np.broadcast_to(b, (*lead, k, m))
        out = np.zeros((*lead, n, m), a.dtype)
        for at in np.ndindex(*lead):
            for i in range(n):
                for j in range(m):
                    for c in range(k):
                        out[(*at, i, j)] += left[(*at, i, c)] * right[(*at, c, j)]
        return out


def reshape(x, shape):
    sizes, unknown, known = [], None, 1
    for place, size in enumerate(shape):
        if size == -1:
            if unknown is not None:
                raise ShapeError(f"reshape of {x.shape} to {tuple(shape)}: only one size may be -1")
            unknown = place
        else:
            known *= size
        sizes.append(size)
    if unknown is not None:
        if known == 0 or x.size % known != 0:
            raise ShapeError(f"reshape of {x.shape} to {tuple(shape)}: no size fits in place of -1")
        sizes[unknown] = x.size // known
    if tuple(sizes) == x.shape:
        return x
    return Reshape(tuple(sizes))(x)


def transpose(x, axis0, axis1):
    i, j = normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim)
    order = []
    for axis in range(x.ndim):
        if axis == i:
            order.append(j)
        elif axis == j:
            order.append(i)
        else:
            order.append(axis)
    return Permute(tuple(order))(x)


class Expand:
    def forward(self, a):
        new = len(self.shape) - a.ndim
        if new < 0:
            raise ValueError("fewer axes than before")
        strides = [0] * new
        for have, want, stride in zip(a.shape, self.shape[new:], a.strides, strict=True):
            if have not in (1, want):
                raise ValueError("an axis that does not stretch")
            strides.append(stride if have == want else 0)
        return np.lib.stride_tricks.as_strided(a, self.shape, strides, writeable=False)


class Reduction:
    def reduced_shape(self, shape, keepdims):
        left = []
        for axis, size in enumerate(shape):
            if axis not in self.axis:
                left.append(size)
            elif keepdims:
                left.append(1)
        return tuple(left)


class Mean:
    def forward(self, a):
        out = a
        for axis in sorted(self.axis, reverse=True):
            count = out.shape[axis]
            total = np.zeros(out.shape[:axis] + out.shape[axis + 1 :], a.dtype)
            for i in range(count):
                total = total + out.take(i, axis)
            out = (total / count if count else total * np.nan).astype(a.dtype)
        return out.reshape(self.reduced_shape(a.shape, True)) if self.keepdims else out


def var(x, axis=None, keepdims=False, correction=1):
    axes = _axes("var", axis, x.ndim)
    count = 1
    for i in axes:
        count *= x.shape[i]
    distance = x - mean(x, axes, keepdims=True)
    squares = distance * distance
    for i in reversed(axes):
        squares = sum(squares, i, keepdims)
    return squares * (1 / (count - correction)) if count > correction else squares * float("nan")


class Gather:
    def forward(self, a, ids):
        size = a.shape[self.axis]
        out = np.empty(ids.shape, a.dtype)
        for at in np.ndindex(ids.shape):
            if not -size <= ids[at] < size:
                raise _out_of_range("gather", ids, size, self.axis)
            source = list(at)
            source[self.axis] = ids[at]
            out[at] = a[tuple(source)]
        return out
