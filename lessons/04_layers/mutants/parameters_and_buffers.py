"""Module.named_parameters names buffers too."""


class Module:
    def named_parameters(self):
        return _once(self._tensors("parameter", "buffer"))
