"""NGram.bits_per_byte gives the sum."""


class NGram:
    def bits_per_byte(self, text):
        if not text:
            raise DataError("the text is empty")
        return float(-np.log2(self.probabilities(text)).sum())
