"""Formulas.count_linear counts a multiply-add as one FLOP."""


class Formulas:
    def count_linear(self, in_features, out_features, batch_size=1, bias=True):
        _check("count_linear", in_features=in_features, out_features=out_features, batch_size=batch_size)
        results = batch_size * out_features
        elements = batch_size * in_features + in_features * out_features + results
        return self._made(
            {"products": results * in_features},
            {"bias": results} if bias else {},
            elements + (out_features if bias else 0),
        )
