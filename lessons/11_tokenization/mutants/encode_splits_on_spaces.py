"""BPETokenizer.encode splits on white space and loses it."""


class BPETokenizer:
    def encode(self, data, specials=False):
        ids = []
        for part, special in self.split_specials(_bytes(data)) if specials else [(_bytes(data), None)]:
            for piece in part.split():
                ids += self.encode_piece(piece)
            if special is not None:
                ids.append(special)
        return np.array(ids, dtype=np.int32)
