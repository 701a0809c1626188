"""count_pairs counts pairs across the ends of words."""


def count_pairs(words, times):
    counts, last = Counter(), None
    for word, number in zip(words, times, strict=True):
        for pair in pairwise([*([] if last is None else [last]), *word]):
            counts[pair] += number
        last = word[-1] if word else last
    return counts
