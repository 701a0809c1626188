"""Module.state_dict hands out the parameters themselves."""


class Module:
    def state_dict(self):
        return dict(self._tensors("parameter", "buffer"))
