"""NGram.bits_per_byte takes the logarithm of the mean instead of the mean of the logarithms."""


class NGram:
    def bits_per_byte(self, text):
        if not text:
            raise DataError("the text is empty")
        return float(-np.log2(self.probabilities(text).mean()))
