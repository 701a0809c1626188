"""Dictionaries, loops and counting again, without NumPy where it is not needed."""

import math


class CharTokenizer:
    @classmethod
    def train(cls, text, unk=None):
        characters = set(text)
        if unk is not None:
            characters.update(unk)
        return cls("".join(sorted(characters, key=ord)), unk)

    def encode(self, text):
        known = {character: i for i, character in enumerate(self.characters)}
        ids = []
        for at, character in enumerate(text):
            if character in known:
                ids.append(known[character])
            elif self.unk is not None:
                ids.append(known[self.unk])
            else:
                raise DataError(f"no {character!r} (position {at}) in the vocabulary")
        return np.array(ids, dtype=np.int32)

    def decode(self, ids):
        return "".join(self.characters[i] for i in check_ids(ids, self.vocab_size))


def check_ids(ids, vocab_size):
    array = np.array(ids)
    if len(array.shape) != 1:
        raise ShapeError(f"one sequence is needed, not {array.shape}")
    if len(array) and not np.issubdtype(array.dtype, np.integer):
        raise DTypeError(f"integers are needed, not {array.dtype}")
    for position, i in enumerate(array.tolist()):
        if not 0 <= i < vocab_size:
            raise DataError(f"{i} at position {position} is no id; they are 0 to {vocab_size - 1}")
    return array.astype("int64")


def merge(ids, pair, new):
    merged = []
    for i in ids:
        merged.append(i)
        if tuple(merged[-2:]) == pair and len(merged) > 1:
            merged[-2:] = [new]
    return merged


def count_pairs(words, times):
    counts = Counter()
    for word, number in zip(words, times, strict=True):
        for i in range(1, len(word)):
            counts[word[i - 1], word[i]] += number
    return counts


def learn_merges(pieces, count):
    words, times = [list(piece) for piece in pieces], list(pieces.values())
    merges = []
    for new in range(256, 256 + count):
        counts = count_pairs(words, times)
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        if counts[best] < 2:
            break
        merges.append(best)
        words = [merge(word, best, new) for word in words]
    return merges


class BPETokenizer:
    def encode_piece(self, piece):
        ids = list(piece)
        while True:
            known = [pair for pair in pairwise(ids) if pair in self.ranks]
            if not known:
                return ids
            best = min(known, key=self.ranks.get)
            ids = merge(ids, best, self.ranks[best])

    def split_specials(self, raw):
        found = sorted(((text.encode(), i) for text, i in self.specials.items()), key=lambda s: -len(s[0]))
        begin = at = 0
        while at < len(raw):
            for special, i in found:
                if raw.startswith(special, at):
                    yield raw[begin:at], i
                    begin = at = at + len(special)
                    break
            else:
                at += 1
        yield raw[begin:], None

    def encode(self, data, specials=False):
        ids = []
        for part, special in self.split_specials(_bytes(data)) if specials else [(_bytes(data), None)]:
            for piece in _PIECES.findall(part):
                ids.extend(self.encode_piece(piece))
            if special is not None:
                ids.append(special)
        return np.array(ids, np.int32)

    def decode(self, ids):
        found = b""
        for i in check_ids(ids, self.vocab_size):
            found += self.tokens[i]
        return found


class NGram:
    def bits_per_byte(self, text):
        if len(text) == 0:
            raise DataError("an empty text has no bits per byte")
        return sum(-math.log2(p) for p in self.probabilities(text)) / len(text)
