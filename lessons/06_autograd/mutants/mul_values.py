"""Mul.vjp leaves the graph: its gradients cannot be differentiated again."""


class Mul:
    def vjp(self, g, out, a, b):
        return g * b.detach(), g * a.detach()
