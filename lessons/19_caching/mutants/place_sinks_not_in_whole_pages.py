"""Paged.place lets positions move into what is left of the last page of the sinks."""


class Paged:
    def place(self, position, dropped, page):
        kept = self.sinks
        return np.where(position < kept, position, position - dropped)
