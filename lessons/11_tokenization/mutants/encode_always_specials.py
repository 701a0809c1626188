"""BPETokenizer.encode takes special tokens for meant even when they are not."""


class BPETokenizer:
    def encode(self, data, specials=False):
        ids = []
        for part, special in self.split_specials(_bytes(data)):
            for piece in _PIECES.findall(part):
                ids += self.encode_piece(piece)
            if special is not None:
                ids.append(special)
        return np.array(ids, dtype=np.int32)
