"""geometric_mean takes the fewest degrees of freedom."""


def geometric_mean(ratios):
    if not ratios:
        raise BenchmarkError("none")
    n = len(ratios)
    errors = [ratio.error / n for ratio in ratios]
    error = math.sqrt(math.fsum(e * e for e in errors))
    parts = math.fsum(e**4 / r.freedom for e, r in zip(errors, ratios, strict=True))
    freedom = min(r.freedom for r in ratios)
    return Ratio(math.fsum(r.log for r in ratios) / n, error, freedom)
