"""likeliest keeps the smallest."""


def likeliest(logits, k):
    if k >= logits.size:
        return logits
    most = float(np.sort(logits.data)[k - 1])
    return where(logits <= most, logits, -math.inf)
