"""Paged.place moves only what comes behind as many positions as were dropped."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return np.where(position < kept + dropped, position, position - dropped)
