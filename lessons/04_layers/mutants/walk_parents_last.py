"""Module._walk yields children before their parents."""


class Module:
    def _walk(self, prefix=""):
        for name, child in self.named_children():
            yield from child._walk(_join(prefix, name))
        yield prefix, self
