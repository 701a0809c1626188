"""Module.named_parameters names a shared parameter twice."""


class Module:
    def named_parameters(self):
        return self._tensors("parameter")
