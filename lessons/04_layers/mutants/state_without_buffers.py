"""Module.state_dict leaves buffers out."""


class Module:
    def state_dict(self):
        return {name: tensor.detach() for name, tensor in self._tensors("parameter")}
