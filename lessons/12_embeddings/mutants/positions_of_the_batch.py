"""Positions.forward numbers the batch instead of the positions."""

from tinytorch.errors import ShapeError


class Positions:
    def forward(self, x, start=0):
        if x.ndim < 2 or x.shape[-1] != self.dim or start < 0 or start + x.shape[-2] > self.context:
            raise ShapeError(f"Positions: {x.shape} from {start}, context {self.context}")
        return x + self.table[start : start + x.shape[0]].reshape(-1, *(1,) * (x.ndim - 2), self.dim)
