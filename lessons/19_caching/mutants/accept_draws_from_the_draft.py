"""accept replaces by a draw from the draft."""


def accept(proposed, drafts, logits, sampling, rng):
    for i, token in enumerate(proposed):
        if sampling.greedy:
            best = int(np.argmax(logits[i]))
            if best != token:
                return (i, best)
            continue
        p, q = (sampling.probabilities(logits[i]), drafts[i])
        if rng.random() * q[token] >= p[token]:
            rest = np.maximum(p - q, 0)
            return (i, pick(q, rng.random()))
    return (len(proposed), sampling.draw(logits[len(proposed)], rng))
