"""count_pairs counts a word once, however often it occurs."""


def count_pairs(words, times):
    counts = Counter()
    for word in words:
        counts.update(pairwise(word))
    return counts
