"""sparkline shows the first values that fit and drops the rest."""


def sparkline(values, columns, strokes):
    means = list(values)[:columns]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0), max(finite, default=0)
    half, last = (high / 2 - low / 2) or 1, len(strokes) - 1
    return "".join(
        strokes[min(last, int((m / 2 - low / 2) / half * len(strokes)))] if math.isfinite(m) else "x"
        for m in means
    )
