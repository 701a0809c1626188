"""count_pairs counts a pair once in a word in which it occurs twice."""


def count_pairs(words, times):
    counts = Counter()
    for word, number in zip(words, times, strict=True):
        for pair in set(pairwise(word)):
            counts[pair] += number
    return counts
