"""BPETokenizer.encode merges across words."""


class BPETokenizer:
    def encode(self, data, specials=False):
        ids = []
        for part, special in self.split_specials(_bytes(data)) if specials else [(_bytes(data), None)]:
            ids += self.encode_piece(part)
            if special is not None:
                ids.append(special)
        return np.array(ids, dtype=np.int32)
