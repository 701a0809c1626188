"""Gather.forward picks along axis 0 whatever its axis is."""


class Gather:
    def forward(self, a, ids):
        try:
            return np.take_along_axis(a, ids, 0)
        except IndexError:
            raise _out_of_range("gather", ids, a.shape[self.axis], self.axis) from None
