"""sparkline shows the first value of each group instead of the average."""


def sparkline(values, columns, strokes):
    n, k = len(values), min(len(values), columns)
    means = [values[i * n // k] for i in range(k)]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0), max(finite, default=0)
    half, last = (high / 2 - low / 2) or 1, len(strokes) - 1
    return "".join(
        strokes[min(last, int((m / 2 - low / 2) / half * len(strokes)))] if math.isfinite(m) else "x"
        for m in means
    )
