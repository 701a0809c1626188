"""sparkline has no stroke for the highest value."""


def sparkline(values, columns, strokes):
    n, k = len(values), min(len(values), columns)
    means = [
        sum(values[i * n // k : (i + 1) * n // k]) / len(values[i * n // k : (i + 1) * n // k])
        for i in range(k)
    ]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0), max(finite, default=0)
    return "".join(
        strokes[int((m / 2 - low / 2) / ((high / 2 - low / 2) or 1) * len(strokes))]
        if math.isfinite(m)
        else "x"
        for m in means
    )
