"""Mean.vjp divides by all elements of a, not by those of one mean."""


class Mean:
    def vjp(self, g, out, a):
        return (self.spread(g * (1 / (a.size or 1)), a),)
