"""Paged.place puts what moved up a second time behind the sinks."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return np.where(position < kept, position, position - dropped + kept)
