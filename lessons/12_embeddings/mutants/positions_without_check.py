"""Positions.forward lets a slice beyond the context come out short."""


class Positions:
    def forward(self, x, start=0):
        return x + self.table[start : start + x.shape[-2]]
