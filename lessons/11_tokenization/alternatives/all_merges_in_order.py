"""Encoding goes through all merges in the order learned; training keeps the counts up to date by hand."""

import numpy


def sorted_points(text, unk):
    """All characters once."""
    return "".join(chr(point) for point in sorted({ord(c) for c in text + (unk or "")}))


class CharTokenizer:
    @classmethod
    def train(cls, text, unk=None):
        return cls(sorted_points(text, unk), unk)

    def encode(self, text):
        unknown = -1 if self.unk is None else self.characters.index(self.unk)
        ids = numpy.array([self.characters.find(c) for c in text], numpy.int32)
        for at in numpy.flatnonzero(ids < 0):
            if self.unk is None:
                raise DataError(f"encode: {text[at]!r} at position {at} is not in the vocabulary")
            ids[at] = unknown
        return ids

    def decode(self, ids):
        text = ""
        for i in check_ids(ids, len(self.characters)).tolist():
            text += self.characters[i]
        return text


def check_ids(ids, vocab_size):
    array = numpy.asarray(ids)
    if array.ndim != 1:
        raise ShapeError(f"decode: shape {array.shape}")
    if not array.size:
        return numpy.zeros(0, numpy.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"decode: dtype {array.dtype}")
    good = (array >= 0) & (array < vocab_size)
    if not good.all():
        at = int(good.argmin())
        raise DataError(f"decode: id {array[at]} at position {at} is not among 0 .. {vocab_size - 1}")
    return array.astype(numpy.int64)


def merge(ids, pair, new):
    if len(ids) < 2:
        return list(ids)
    if ids[0] == pair[0] and ids[1] == pair[1]:
        return [new, *merge(ids[2:], pair, new)]
    return [ids[0], *merge(ids[1:], pair, new)]


def count_pairs(words, times):
    total = Counter()
    for word, number in zip(words, times, strict=True):
        total += Counter({pair: number * often for pair, often in Counter(pairwise(word)).items()})
    return total


def learn_merges(pieces, count):
    words = {tuple(piece): number for piece, number in pieces.items()}
    merges = []
    while len(merges) < count:
        counts = count_pairs(list(words), list(words.values()))
        frequent = sorted((-number, pair) for pair, number in counts.items() if number > 1)
        if not frequent:
            break
        best = frequent[0][1]
        changed = Counter()
        for word, number in words.items():
            changed[tuple(merge(list(word), best, 256 + len(merges)))] += number
        words = changed
        merges.append(best)
    return merges


class BPETokenizer:
    def encode_piece(self, piece):
        ids = list(piece)
        for pair in self.merges:
            ids = merge(ids, pair, self.ranks[pair])
        return ids

    def split_specials(self, raw):
        rest = raw
        while True:
            places = [
                (rest.find(_bytes(text)), -len(_bytes(text)), i)
                for text, i in self.specials.items()
                if _bytes(text) in rest
            ]
            if not places:
                break
            at, size, i = min(places)
            yield rest[:at], i
            rest = rest[at - size :]
        yield rest, None

    def encode(self, data, specials=False):
        raw = _bytes(data)
        parts = list(self.split_specials(raw)) if specials else [(raw, None)]
        found = []
        for part, special in parts:
            found += [i for match in _PIECES.finditer(part) for i in self.encode_piece(match.group())]
            found += [] if special is None else [special]
        return np.asarray(found, dtype=np.int32)

    def decode(self, ids):
        return b"".join(map(self.tokens.__getitem__, check_ids(ids, len(self.tokens))))


class NGram:
    def bits_per_byte(self, text):
        if text == b"":
            raise DataError("the text to score is empty")
        return float(np.log2(1 / self.probabilities(text)).sum()) / len(text)
