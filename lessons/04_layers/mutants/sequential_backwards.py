"""Sequential.forward goes through the modules backwards."""


class Sequential:
    def forward(self, x):
        for module in list(self)[::-1]:
            x = module(x)
        return x
