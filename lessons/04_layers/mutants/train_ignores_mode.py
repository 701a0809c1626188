"""Module.train always switches to training."""


class Module:
    def train(self, mode=True):
        for module in self.modules():
            module.__dict__["training"] = True
        return self
