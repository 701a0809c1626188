"""Sequential.forward gives every module the first input."""


class Sequential:
    def forward(self, x):
        out = x
        for module in self:
            out = module(x)
        return out
