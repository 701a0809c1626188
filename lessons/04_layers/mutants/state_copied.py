"""Module.state_dict copies."""


class Module:
    def state_dict(self):
        return {name: tensor.detach().clone() for name, tensor in self._tensors("parameter", "buffer")}
