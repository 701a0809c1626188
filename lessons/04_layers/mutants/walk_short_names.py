"""Module._walk forgets the names of the parents."""


class Module:
    def _walk(self, prefix=""):
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(name)
