"""Formulas.count_linear forgets the batch."""


class Formulas:
    def count_linear(self, in_features, out_features, batch_size=1, bias=True):
        _check("count_linear", in_features=in_features, out_features=out_features, batch_size=batch_size)
        elements = in_features + in_features * out_features + out_features
        return self._made(
            {"products": 2 * in_features * out_features},
            {"bias": out_features} if bias else {},
            elements + (out_features if bias else 0),
        )
