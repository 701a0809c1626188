"""Module.train switches the module alone, not those below."""


class Module:
    def train(self, mode=True):
        self.training = mode
        return self
