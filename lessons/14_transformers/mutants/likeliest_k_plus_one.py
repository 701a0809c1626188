"""likeliest keeps one more than k."""


def likeliest(logits, k):
    if k >= logits.size:
        return logits
    least = float(np.sort(logits.data)[-k - 1])
    return where(logits >= least, logits, -math.inf)
