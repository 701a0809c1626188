"""Names in syntax trees: what a statement binds, what is local, and other names for a learner's helpers."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from tinytorch.learn.work import Function


class Rename(ast.NodeTransformer):
    """Gives global names others, where they are not hidden by local ones."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)

    def inside(self, node: Any) -> Any:
        """A copy of a function, or of a statement in a class, with the names changed in it, its own kept."""
        copied = copy.deepcopy(node)
        if isinstance(copied, Function | ast.ClassDef):
            return self._scope(copied)
        if isinstance(copied, ast.Assign | ast.AnnAssign):
            return self._value(copied)
        return self.generic_visit(copied)

    def at_top(self, node: ast.stmt) -> list[Any]:
        """Copies of a top-level statement, with what it binds renamed too; as it may stand below `global`."""
        copied = copy.deepcopy(node)
        after: list[Any] = []
        if isinstance(copied, Function | ast.ClassDef):
            changed = self._scope(copied)
            changed.name = self.names.get(copied.name, copied.name)
        else:
            changed = self.visit(copied)
        if isinstance(node, ast.Import):
            plain = [a.name.partition(".")[0] for a in node.names if a.asname is None]
            after = [ast.parse(f"{self.names[n]} = {n}").body[0] for n in plain if n in self.names]
        return [ast.copy_location(part, node) for part in [changed, *after]]

    def _value(self, node: Any) -> Any:
        node.value = self.visit(node.value) if node.value is not None else None
        return node

    def _scope(self, node: Any) -> Any:
        """Change names below a function or class, but those that are its own."""
        own = set() if isinstance(node, ast.ClassDef) else local_names(node)
        hidden = {name: self.names.pop(name) for name in own & set(self.names)}
        self.generic_visit(node)
        self.names |= hidden
        return node

    def visit_FunctionDef(self, node: Any) -> Any:
        """A function inside of what is renamed."""
        return self._scope(node)

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A use of a name."""
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        """A declaration that names are global."""
        node.names = [self.names.get(name, name) for name in node.names]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from a import b` becomes `from a import b as _tito0_b`."""
        node.names = [ast.alias(a.name, self.names.get(a.asname or a.name, a.asname)) for a in node.names]
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        """`import a as b` becomes `import a as _tito0_b`."""
        node.names = [
            ast.alias(a.name, self.names.get(a.asname, a.asname) if a.asname else None) for a in node.names
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """`a: int = 1` becomes `a = 1`: what is declared global takes no annotation."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))


def _own_parts(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is below it, but not what lies in functions, classes and comprehensions there."""
    yield node
    apart = (
        Function | ast.Lambda | ast.ClassDef | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    )
    for part in ast.iter_child_nodes(node):
        if isinstance(part, Function | ast.ClassDef):
            yield part
        elif not isinstance(part, apart):
            yield from _own_parts(part)


def bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds in the scope in which it stands."""
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    found: list[str] = []
    for part in _own_parts(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            found.append(part.id)
        elif isinstance(part, Function | ast.ClassDef):
            found.append(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            found += [(a.asname or a.name).partition(".")[0] for a in part.names]
    return found


def local_names(node: Any) -> set[str]:
    """The names that are local to a function: arguments, and what it binds without declaring it global."""
    arguments = node.args
    found = {a.arg for a in ast.walk(arguments) if isinstance(a, ast.arg)}
    body = node.body if isinstance(node.body, list) else []
    found |= {name for statement in body for name in bound(statement)}
    declared = {
        name for part in body for g in ast.walk(part) if isinstance(g, ast.Global) for name in g.names
    }
    return found - declared


def changes(node: ast.stmt, name: str) -> bool:
    """Whether a statement changes what a name stands for: `NAME.append(1)`, `NAME[0] = 1`."""
    if isinstance(node, Function | ast.ClassDef | ast.Import | ast.ImportFrom):
        return False
    for part in ast.walk(node):
        called = isinstance(part, ast.Expr) and isinstance(part.value, ast.Call)
        target: Any = part.value.func if called else None  # type: ignore[attr-defined]
        if isinstance(part, ast.Subscript | ast.Attribute) and isinstance(part.ctx, ast.Store | ast.Del):
            target = part
        while isinstance(target, ast.Attribute | ast.Subscript | ast.Call):
            target = target.func if isinstance(target, ast.Call) else target.value
            if isinstance(target, ast.Name) and target.id == name:
                return True
    return False


def promised_names(work: ast.Module) -> dict[str, ast.stmt]:
    """The names that a work file imports under TYPE_CHECKING, for editors, each by its own statement."""
    found: dict[str, ast.stmt] = {}
    for node in work.body:
        for_editors = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body if for_editors and isinstance(node, ast.If) else ():
            if isinstance(part, ast.Import):
                found |= {(a.asname or a.name).split(".")[0]: ast.Import([a]) for a in part.names}
            elif isinstance(part, ast.ImportFrom):
                found |= {
                    (a.asname or a.name): ast.ImportFrom(part.module, [a], part.level) for a in part.names
                }
    return found


def import_promised(node: ast.stmt, promised: Mapping[str, ast.stmt], known: set[str]) -> None:
    """Have a function import, as it runs, the names that its file promises and the module does not have."""
    if not isinstance(node, Function):
        return
    parts = [part for statement in node.body for part in ast.walk(statement)]
    names = [part for part in parts if isinstance(part, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    bound |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    wanted = sorted(({n.id for n in names} - bound - known) & promised.keys())
    at = int(ast.get_docstring(node) is not None)
    node.body[at:at] = [ast.copy_location(copy.deepcopy(promised[name]), node) for name in wanted]
