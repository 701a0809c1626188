"""geometric_mean takes the largest error."""


def geometric_mean(ratios):
    if not ratios:
        raise BenchmarkError("none")
    n = len(ratios)
    errors = [ratio.error / n for ratio in ratios]
    error = max(errors)
    parts = math.fsum(e**4 / r.freedom for e, r in zip(errors, ratios, strict=True))
    freedom = error**4 / parts if parts else EXACT
    return Ratio(math.fsum(r.log for r in ratios) / n, error, freedom)
