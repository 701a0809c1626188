"""Module._walk stops at the children."""


class Module:
    def _walk(self, prefix=""):
        yield prefix, self
        for name, child in self.named_children():
            yield _join(prefix, name), child
