"""sparkline draws from 0 instead of from the lowest value."""


def sparkline(values, columns, strokes):
    n, k = len(values), min(len(values), columns)
    groups = [values[i * n // k : (i + 1) * n // k] for i in range(k)]
    means = [sum(group) / len(group) for group in groups]
    high = max((mean for mean in means if math.isfinite(mean)), default=0) or 1
    last = len(strokes) - 1
    return "".join(
        strokes[max(0, min(last, int(m / high * len(strokes))))] if math.isfinite(m) else "x" for m in means
    )
