"""Step by step, with plain loops and conditions."""


def duration(seconds):
    whole = math.floor(seconds)
    hours, whole = whole // 3600, whole % 3600
    minutes, rest = whole // 60, whole % 60
    if hours:
        return str(hours) + ":" + str(minutes).zfill(2) + ":" + str(rest).zfill(2)
    return str(minutes) + ":" + str(rest).zfill(2)


def quantity(amount, unit):
    if unit == "B":
        names = ["B", "KiB", "MiB", "GiB"]
        place = 0
        while amount >= 1024 and place < 3:
            amount /= 1024
            place += 1
        return f"{amount:.0f} B" if place == 0 else f"{amount:.1f} {names[place]}"
    if amount >= 10 or float(amount).is_integer():
        return f"{amount:,.0f} {unit}"
    return f"{amount:.2g} {unit}"


def bar_text(part, columns, strokes):
    if not strokes:
        return ""
    if part < 0:
        part = 0
    if part > 1:
        part = 1
    text = ""
    done = round(part * columns)
    for column in range(columns):
        text += strokes[0] if column < done else strokes[1]
    return text


def average(group):
    total = 0.0
    for value in group:
        total += value
    return total / len(group)


def sparkline(values, columns, strokes):
    n = len(values)
    k = columns if n > columns else n
    means = []
    for i in range(k):
        means.append(average(values[i * n // k : (i + 1) * n // k]))
    low, high = math.inf, -math.inf
    for mean in means:
        if math.isfinite(mean):
            low, high = min(low, mean), max(high, mean)
    text = ""
    for mean in means:
        if not math.isfinite(mean):
            text += "x"
        elif mean == high and high > low:
            text += strokes[-1]
        elif high == low:
            text += strokes[0]
        else:
            share = (mean / 4 - low / 4) / (high / 4 - low / 4)
            text += strokes[int(share * len(strokes))]
    return text


class Spec:
    def size(self):
        product = 1
        for n in self.shape:
            product *= n
        return product

    def nbytes(self):
        return self.dtype.itemsize * self.size


def normalize_axis(op, axis, ndim):
    places = 1 if ndim == 0 else ndim
    found = axis + places if axis < 0 else axis
    if found < 0 or found >= places:
        raise ShapeError(f"{op} has no axis {axis}: there are {ndim}")
    return found


def result_type(*dtypes):
    best = dtypes[0]
    for dtype in dtypes[1:]:
        higher = RANK[dtype.kind] > RANK[best.kind]
        wider = RANK[dtype.kind] == RANK[best.kind] and dtype.itemsize > best.itemsize
        if higher or wider:
            best = dtype
    return best


def require_float(op, *specs):
    for spec in specs:
        if spec.dtype.kind != "f":
            raise DTypeError(f"{op} cannot compute with {spec.dtype}")
    for spec in specs[1:]:
        if spec.dtype != specs[0].dtype:
            raise DTypeError(f"{op} takes one dtype, not both {specs[0].dtype} and {spec.dtype}")
