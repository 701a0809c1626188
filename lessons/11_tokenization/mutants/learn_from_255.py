"""learn_merges numbers new ids from 255."""


def learn_merges(pieces, count):
    words, times, merges = [list(piece) for piece in pieces], list(pieces.values()), []
    while len(merges) < count:
        counts = count_pairs(words, times)
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [merge(word, best, 255 + len(merges)) for word in words]
        merges.append(best)
    return merges
