"""learn_merges counts at the beginning only."""


def learn_merges(pieces, count):
    counts = count_pairs([list(piece) for piece in pieces], list(pieces.values()))
    best = sorted(counts, key=lambda pair: (-counts[pair], pair))
    return [pair for pair in best if counts[pair] > 1][:count]
