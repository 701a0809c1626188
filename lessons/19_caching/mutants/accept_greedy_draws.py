"""accept uses a random number where nothing is drawn."""


def accept(proposed, drafts, logits, sampling, rng):
    for i, token in enumerate(proposed):
        u = rng.random()
        if sampling.greedy:
            best = int(np.argmax(logits[i]))
            if best != token:
                return (i, best)
            continue
        p, q = (sampling.probabilities(logits[i]), drafts[i])
        if u * q[token] >= p[token]:
            rest = np.maximum(p - q, 0)
            return (i, pick(rest if rest.any() else p, rng.random()))
    return (len(proposed), sampling.draw(logits[len(proposed)], rng))
