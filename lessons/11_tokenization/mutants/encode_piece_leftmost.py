"""BPETokenizer.encode_piece merges the leftmost learned pair instead of the one learned first."""


class BPETokenizer:
    def encode_piece(self, piece):
        ids = list(piece)
        while True:
            known = [pair for pair in pairwise(ids) if pair in self.ranks]
            if not known:
                return ids
            ids = merge(ids, known[0], self.ranks[known[0]])
