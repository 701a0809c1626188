"""GPT.initialise leaves the biases as the layers made them."""


class GPT:
    def initialise(self, generator=None):
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into = name.endswith(("attn.out_proj.weight", "mlp.fc2.weight"))
                std = 0.02 / math.sqrt(2 * self.layers) if into else 0.02
                parameter.assign_(init.normal(parameter.shape, std, generator))
