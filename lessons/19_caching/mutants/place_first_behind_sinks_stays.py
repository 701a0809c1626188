"""Paged.place is off by one at the first position behind the sinks."""


class Paged:
    def place(self, position, dropped, page):
        kept = -(-self.sinks // page) * page
        return np.where(position <= kept, position, position - dropped)
