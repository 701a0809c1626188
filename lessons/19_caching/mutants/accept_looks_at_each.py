"""accept counts all that would stay, also those behind one that does not."""


def accept(proposed, drafts, logits, sampling, rng):
    if sampling.greedy:
        best = [int(np.argmax(row)) for row in logits]
        count = sum(a == b for a, b in zip(proposed, best))
        return count, best[count]
    count = 0
    for i, token in enumerate(proposed):
        p, q = sampling.probabilities(logits[i]), drafts[i]
        count += int(rng.random() * q[token] < p[token])
    if count == len(proposed):
        return count, sampling.draw(logits[count], rng)
    rest = np.maximum(sampling.probabilities(logits[count]) - drafts[count], 0)
    return count, pick(rest if rest.any() else p, rng.random())
