"""Paged.place keeps one page more than the sinks need where they fill their pages."""


class Paged:
    def place(self, position, dropped, page):
        kept = (self.sinks // page + 1) * page
        return np.where(position < kept, position, position - dropped)
