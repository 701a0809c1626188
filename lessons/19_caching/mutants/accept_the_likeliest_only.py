"""accept keeps the likeliest token alone, also where tokens are drawn."""


def accept(proposed, drafts, logits, sampling, rng):
    for i, token in enumerate(proposed):
        if sampling.greedy:
            best = int(np.argmax(logits[i]))
            if best != token:
                return (i, best)
            continue
        p, q = (sampling.probabilities(logits[i]), drafts[i])
        if token != int(np.argmax(p)):
            rest = np.maximum(p - q, 0)
            return (i, pick(rest if rest.any() else p, rng.random()))
    return (len(proposed), sampling.draw(logits[len(proposed)], rng))
