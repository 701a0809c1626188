"""Formulas.count_linear counts the bias among the products."""


class Formulas:
    def count_linear(self, in_features, out_features, batch_size=1, bias=True):
        _check("count_linear", in_features=in_features, out_features=out_features, batch_size=batch_size)
        results = batch_size * out_features
        elements = batch_size * in_features + in_features * out_features + results
        return self._made(
            {"products": 2 * results * in_features, "bias": results}, {}, elements + out_features
        )
