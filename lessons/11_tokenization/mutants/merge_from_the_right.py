"""merge goes from right to left."""


def merge(ids, pair, new):
    merged, i = [], len(ids)
    while i > 0:
        if i > 1 and (ids[i - 2], ids[i - 1]) == pair:
            merged.append(new)
            i -= 2
        else:
            merged.append(ids[i - 1])
            i -= 1
    return merged[::-1]
