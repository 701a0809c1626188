"""QuantizedModel: a model on codes, used like the one it was made of, with the report of its making."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinytorch.nn.module import Module
from tinytorch.quantization.report import Report


class QuantizedModel(Module):
    """The network with its layers on codes; whatever else is asked of it, the network answers.

    Parameters, buffers and paths are those of the network, so state dicts and profiles name the same modules.
    """

    network: Module

    def __init__(self, network: Module, report: Report) -> None:
        super().__init__()
        own = self.__dict__
        own.update(network=network, example_input=network.example_input, _report=report)
        del own["training"]  # the network knows

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.network(*args, **kwargs)

    def report(self) -> Report:
        """What became of each layer, and why; what it cost, and what it gained."""
        found: Report = self._report
        return found

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        return self.network._walk(prefix)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules of the network."""
        return self.network.named_children()

    def __getattr__(self, name: str) -> Any:
        if name in ("network", "__deepcopy__") or "network" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.network, name)

    def __getitem__(self, index: Any) -> Any:
        network: Any = self.network
        return network[index]

    def __iter__(self) -> Iterator[Any]:
        network: Any = self.network
        return iter(network)

    def extra_repr(self) -> str:
        return type(self.network).__name__
