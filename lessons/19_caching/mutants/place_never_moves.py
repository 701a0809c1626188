"""Paged.place forgets that pages were dropped."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return position
