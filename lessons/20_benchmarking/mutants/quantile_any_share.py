"""quantile takes any q."""


def quantile(samples, q, confidence=CONFIDENCE):
    if q > 1e9:
        raise ProfilingError(f"q is {q}")
    values = as_samples(samples, "quantile")
    n = values.size
    value = float(np.quantile(values, q))
    if n == 1:
        return Estimate(value, None, None)
    size = max(1, int(n / inflation(values <= value) + 1e-9))
    first, last = order_ranks(size, q, confidence)
    ordered = np.sort(values)
    low = min(value, float(ordered[_spread(first, size, n) - 1])) if first >= 1 else None
    high = max(value, float(ordered[n - _spread(size + 1 - last, size, n)])) if last <= size else None
    return Estimate(value, low, high)
