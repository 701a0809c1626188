"""BPETokenizer.encode cuts special tokens out instead of giving their ids."""


class BPETokenizer:
    def encode(self, data, specials=False):
        ids = []
        for part, _ in self.split_specials(_bytes(data)) if specials else [(_bytes(data), None)]:
            for piece in _PIECES.findall(part):
                ids += self.encode_piece(piece)
        return np.array(ids, dtype=np.int32)
