"""Errors of the right kind in words of one's own; checks and scores one element at a time."""


def check_ids(ids, vocab_size):
    array = np.array(ids)
    if array.ndim != 1:
        raise ShapeError(f"one sequence, please, not an array of shape {array.shape}")
    if len(array) == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError("ids must be whole numbers")
    for place, one in enumerate(array.tolist()):
        if not 0 <= one < vocab_size:
            raise DataError(f"id {one} at place {place}: the largest there is is {vocab_size - 1}")
    return array.astype(np.int64)


class NGram:
    def bits_per_byte(self, text):
        if len(text) == 0:
            raise DataError("no bytes at all have no score")
        return float(sum(-np.log2(p) for p in self.probabilities(text)) / len(text))
