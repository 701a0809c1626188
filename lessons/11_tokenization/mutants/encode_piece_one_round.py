"""BPETokenizer.encode_piece stops after the first merge."""


class BPETokenizer:
    def encode_piece(self, piece):
        ids = list(piece)
        known = [pair for pair in pairwise(ids) if pair in self.ranks]
        if not known:
            return ids
        best = min(known, key=lambda pair: self.ranks[pair])
        return merge(ids, best, self.ranks[best])
