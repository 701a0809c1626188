"""sparkline scales by one step too few, so that only the highest value gets the last stroke."""


def sparkline(values, columns, strokes):
    n, k = len(values), min(len(values), columns)
    groups = [values[i * n // k : (i + 1) * n // k] for i in range(k)]
    means = [sum(group) / len(group) for group in groups]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0), max(finite, default=0)
    half = (high / 2 - low / 2) or 1
    return "".join(
        strokes[int((m / 2 - low / 2) / half * (len(strokes) - 1))] if math.isfinite(m) else "x"
        for m in means
    )
