"""Mean.vjp does not divide."""


class Mean:
    def vjp(self, g, out, a):
        return (self.spread(g, a),)
