"""Paged.place takes what was dropped for a number of pages."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return np.where(position < kept, position, position - dropped * page)
