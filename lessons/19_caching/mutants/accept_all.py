"""accept keeps whatever was proposed."""


def accept(proposed, drafts, logits, sampling, rng):
    return len(proposed), sampling.draw(logits[len(proposed)], rng)
