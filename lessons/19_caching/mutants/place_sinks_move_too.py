"""Paged.place moves all positions up, those of the sinks too."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return position - dropped
