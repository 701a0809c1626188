"""GPT.initialise divides by the root of the number of blocks, though each block adds twice."""


class GPT:
    def initialise(self, generator=None):
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into = name.endswith(("attn.out_proj.weight", "mlp.fc2.weight"))
                std = 0.02 / math.sqrt(self.layers) if into else 0.02
                parameter.assign_(init.normal(parameter.shape, std, generator))
            elif name.endswith("bias"):
                parameter.assign_(0.0)
