"""Paged.place rounds the sinks down to whole pages, and loses some."""


class Paged:
    def place(self, position, dropped, page):
        kept = self.sinks // page * page
        return np.where(position < kept, position, position - dropped)
