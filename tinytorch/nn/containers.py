"""Modules that hold modules: Sequential, which calls them in turn, and ModuleList, which only keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.nn.module import Module


class _Numbered(Module):
    """Children named "0", "1", ... in order."""

    def __init__(self, modules: Iterable[Module]) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end; raises DTypeError for what is none."""
        if not isinstance(module, Module):
            raise DTypeError(f"{type(self).__name__}: holds modules, not {type(module).__name__}")
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return len(self._roles)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise ShapeError(f"{type(self).__name__}: index {index} is out of range for {count} modules")
        return self.__dict__[str(index % count)]


class Sequential(_Numbered):
    """Modules called one after the other, each with what the one before it returned.

    >>> Sequential(Module(), Module())
    Sequential()
      0: Module()
      1: Module()
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """What the last module returns; x itself if there are none. Iterating over self gives the modules.

        Each is called, `module(x)`, so that its ops are filed under its name.
        """
        for module in self:
            x = module(x)
        return x


class ModuleList(_Numbered):
    """Modules in a list, for a `forward` that calls them itself; not called, it lends them its name.

    >>> len(ModuleList([Module(), Module()]))
    2
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    def _rename(self, name: str) -> None:
        super()._rename(name)
        for child_name, child in self.named_children():
            child._rename(self._name_for(child_name))

    def _name_for(self, child: str) -> str:
        return f"{self._name}.{child}" if self._name else child
