"""TakeGrad.forward takes g for a matrix whatever the shape of a row."""


class TakeGrad:
    def forward(self, g, ids):
        rows = g.reshape(ids.size, -1) if ids.size else np.zeros((0, g.shape[-1]), g.dtype)
        return sum_rows(ids.reshape(-1) % max(self.rows, 1), rows, self.rows)
