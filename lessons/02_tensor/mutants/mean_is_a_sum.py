"""Mean.forward forgets to divide."""


class Mean:
    def forward(self, a):
        return a.sum(self.axis, keepdims=self.keepdims)
