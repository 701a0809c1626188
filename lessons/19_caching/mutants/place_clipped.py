"""Paged.place never gives a place below the sinks, so that what is gone looks as if it were there."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return np.where(position < kept, position, np.maximum(position - dropped, kept))
