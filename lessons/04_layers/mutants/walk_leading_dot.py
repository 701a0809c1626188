"""Module._walk puts a dot before the names of the first children."""


class Module:
    def _walk(self, prefix=""):
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(prefix + "." + name)
