"""Relu.forward overwrites its input."""


class Relu:
    def forward(self, a):
        a[a < 0] = 0
        return a
