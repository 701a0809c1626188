"""learn_merges lets the first seen of equally frequent pairs go first."""


def learn_merges(pieces, count):
    words, times, merges = [list(piece) for piece in pieces], list(pieces.values()), []
    while len(merges) < count:
        counts = count_pairs(words, times)
        if not counts or max(counts.values()) < 2:
            break
        best = max(counts, key=counts.get)
        words = [merge(word, best, 256 + len(merges)) for word in words]
        merges.append(best)
    return merges
