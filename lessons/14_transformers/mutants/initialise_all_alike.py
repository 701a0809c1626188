"""GPT.initialise gives weights that write to the residual stream the same deviation as all others."""


class GPT:
    def initialise(self, generator=None):
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                parameter.assign_(init.normal(parameter.shape, 0.02, generator))
            elif name.endswith("bias"):
                parameter.assign_(0.0)
