"""Sequential.forward calls the modules' forward and not the modules."""


class Sequential:
    def forward(self, x):
        for module in self:
            x = module.forward(x)
        return x
