"""Module.train returns nothing."""


class Module:
    def train(self, mode=True):
        for module in self.modules():
            module.__dict__["training"] = mode
