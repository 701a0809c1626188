"""Tanh.vjp takes the tanh of what is the tanh already."""


class Tanh:
    def vjp(self, g, out, a):
        t = out.tanh()
        return (g * (1.0 - t * t),)
