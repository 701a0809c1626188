"""accept draws what replaces a token with the number by which it went."""


def accept(proposed, drafts, logits, sampling, rng):
    for i, token in enumerate(proposed):
        if sampling.greedy:
            best = int(np.argmax(logits[i]))
            if best != token:
                return (i, best)
            continue
        p, q = (sampling.probabilities(logits[i]), drafts[i])
        u = rng.random()
        if u * q[token] >= p[token]:
            rest = np.maximum(p - q, 0)
            return (i, pick(rest if rest.any() else p, u))
    return (len(proposed), sampling.draw(logits[len(proposed)], rng))
