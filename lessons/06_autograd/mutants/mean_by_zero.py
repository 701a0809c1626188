"""Mean.vjp divides by 0 where the mean was over nothing."""


class Mean:
    def vjp(self, g, out, a):
        count = 1
        for i in self.axis:
            count *= a.shape[i]
        return (self.spread(g * (1 / count), a),)
