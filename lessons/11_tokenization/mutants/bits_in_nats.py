"""NGram.bits_per_byte takes the natural logarithm."""


class NGram:
    def bits_per_byte(self, text):
        if not text:
            raise DataError("the text is empty")
        return float(-np.log(self.probabilities(text)).mean())
