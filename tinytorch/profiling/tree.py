"""The tree of a model's modules, as the paths under which ops are filed spell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinytorch.nn.module import Module


def modules_by_path(model: Module) -> dict[str, Module]:
    """Every module under every name it has, parents first: a shared one is filed under any of them.

    >>> from tinytorch.models import MLP
    >>> list(modules_by_path(MLP((4, 8, 3))))
    ['', 'flatten', 'layers', 'layers.0', 'layers.1', 'layers.2']
    """
    return dict(_walk("", model))


def _walk(path: str, module: Module) -> Iterator[tuple[str, Module]]:
    yield path, module
    for name, child in module.named_children():
        yield from _walk(f"{path}.{name}" if path else name, child)


def ancestors(path: str) -> list[str]:
    """The path and all above it, the root ("") first.

    >>> ancestors("blocks.0.attn")
    ['', 'blocks', 'blocks.0', 'blocks.0.attn']
    """
    parts = path.split(".") if path else []
    return [".".join(parts[:n]) for n in range(len(parts) + 1)]


def in_order(known: Iterable[str], used: Iterable[str]) -> list[str]:
    """The paths used and all above them, each below its parent: those known in their order, then others.

    >>> in_order(["", "a", "b", "b.x"], ["new.y", "b.x", ""])
    ['', 'b', 'b.x', 'new', 'new.y']
    """
    wanted = {""}
    below: dict[str, dict[str, None]] = {}
    used = list(used)
    for path in used:
        wanted.update(ancestors(path))
    for path in (*known, *used):
        for parent, child in zip(ancestors(path), ancestors(path)[1:], strict=False):
            below.setdefault(parent, {})[child] = None
    out, stack = [], [""]
    while stack:
        path = stack.pop()
        out.append(path)
        stack += [child for child in reversed(below.get(path, {})) if child in wanted]
    return out
