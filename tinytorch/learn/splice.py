"""One module of the package with the learner's functions in the place of its own: its code, to be run."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from types import CodeType

from tinytorch.learn.names import Rename, bound, changes, import_promised, promised_names
from tinytorch.learn.work import Clash, Function, Piece, first_line, functions, is_stub, make_stub, parse

RAN = "__tito_ran__"  # the name by which a grafted function notes that it ran
PREFIX, HELPERS = "_tito", "helpers"  # of names in a module that are the learner's own: _tito0_helpers
_PREFIXED = re.compile(r"_tito\d+_")


def graft(
    source: bytes, path: str, module: str, pieces: Sequence[Piece], exercises: Iterable[str] = ()
) -> CodeType:
    """The code of a module in which the pieces stand in the place of its own functions.

    `exercises`: names of functions that may stand in the same files without being pieces of this module.
    """
    tree = ast.parse(source, path)
    places = dict(functions(tree))
    by_file: dict[str, list[str]] = {}
    for piece in pieces:
        if piece.name not in places:
            raise LookupError(f"{module} has no {piece.name}")
        if piece.file is None:
            make_stub(places[piece.name], piece.name)
        else:
            by_file.setdefault(piece.file, []).append(piece.name)
    files: dict[tuple[str, int], str] = {}
    for number, (file, names) in enumerate(by_file.items()):
        work = _Work(file, number, names, {*exercises, *names})
        files |= work.put_into(tree, places, module)
    return _named(compile(ast.fix_missing_locations(tree), path, "exec"), files)


class _Work:
    """A work file on its way into one module: its pieces, and what else they need of it.

    What the learner defines beside the exercises gets names of its own in the module (`_tito0_helper`), so
    that it may have any name without taking that of something the package uses.
    """

    def __init__(self, file: str, number: int, names: list[str], exercises: set[str]) -> None:
        self.file, self.prefix, self.names, self.exercises = file, f"{PREFIX}{number}_", names, exercises
        self.tree = parse(file)
        self.written = dict(functions(self.tree))
        self.frames = {n.partition(".")[0] for n, f in self.written.items() if n in exercises or is_stub(f)}

    def put_into(
        self, tree: ast.Module, places: Mapping[str, Function], module: str
    ) -> dict[tuple[str, int], str]:
        """Change the tree of the module; returns the code objects, by name and first line, of this file."""
        extra = self._members(tree, module)
        helpers = self._helpers(
            [self.written[name] for name in self.names] + [e for es in extra.values() for e in es]
        )
        own = {name for helper in helpers for name in bound(helper)}
        rename = Rename({name: self.prefix + name for name in own})
        known = {*dir(builtins), *own, *(name for node in tree.body for name in bound(node))}
        promised = promised_names(self.tree)
        files = {(name, first_line(self.written[name])): self.file for name in self.names}
        for name in self.names:
            _put_in_place(places[name], rename.inside(self.written[name]), name)
            import_promised(places[name], promised, known)
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        for owner, members in extra.items():
            for member in members:
                files[f"{owner}.{getattr(member, 'name', '')}", first_line(member)] = self.file
                classes[owner].body.append(rename.inside(member))
                import_promised(classes[owner].body[-1], promised, known)
        if helpers:
            define, call = self._defining(helpers, rename, promised, known)
            files[define.name, define.lineno] = self.file
            tree.body[_after_imports(tree) : _after_imports(tree)] = [define, call]
        return files

    def _members(self, tree: ast.Module, module: str) -> dict[str, list[ast.stmt]]:
        """What the learner added to the classes of the pieces: methods and constants, by class."""
        there = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        found: dict[str, list[ast.stmt]] = {}
        for frame in self.tree.body:
            if not isinstance(frame, ast.ClassDef) or not self._frames_a_piece(frame):
                continue
            has = {name for part in there[frame.name].body for name in bound(part)}
            for part in filter(lambda part: self._is_added(part, frame.name), frame.body):
                taken = [name for name in bound(part) if name in has]
                if taken:
                    raise Clash(f"{frame.name}.{taken[0]}", module, self.file, part.lineno)
                found.setdefault(frame.name, []).append(part)
        return found

    def _frames_a_piece(self, frame: ast.ClassDef) -> bool:
        """Whether a class holds a piece, and is not one of the same name for another module."""
        methods = {f"{frame.name}.{part.name}" for part in frame.body if isinstance(part, Function)}
        return not methods.isdisjoint(self.names)

    def _is_added(self, part: ast.stmt, owner: str) -> bool:
        """Whether a statement in a frame defines something that is neither an exercise nor a stub."""
        names = [f"{owner}.{name}" for name in bound(part)]
        stub = isinstance(part, Function) and is_stub(part)
        return bool(names) and not stub and self.exercises.isdisjoint(names)

    def _helpers(self, own: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The other top-level statements that these functions need, in order."""
        others = [node for node in self.tree.body if not self._is_apart(node)]
        binding: dict[str, list[ast.stmt]] = {}
        for node in others:
            for name in bound(node):
                binding.setdefault(name, []).append(node)
        wanted: list[ast.stmt] = []
        names: set[str] = set()
        queue: list[ast.AST] = [*own]
        while queue:
            for part in ast.walk(queue.pop()):
                if isinstance(part, ast.Name) and part.id in binding and part.id not in names:
                    names.add(part.id)
                    changing = [node for node in others if changes(node, part.id)]
                    fresh = [node for node in [*binding[part.id], *changing] if node not in wanted]
                    wanted += fresh
                    queue += fresh
        return [node for node in self.tree.body if node in wanted]

    def _is_apart(self, node: ast.stmt) -> bool:
        """Whether a statement is no helper: an exercise or its frame, an import for editors, a main block."""
        if isinstance(node, Function | ast.ClassDef):
            return node.name in self.frames
        if isinstance(node, ast.If):
            return {"TYPE_CHECKING", "__name__"} & {
                n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)
            } != set()
        return isinstance(node, ast.ImportFrom) and node.module == "__future__"

    def _defining(
        self, helpers: Sequence[ast.stmt], rename: Rename, promised: Mapping[str, ast.stmt], known: set[str]
    ) -> tuple[ast.FunctionDef, ast.stmt]:
        """A function that defines the helpers in the module, and its call: so they can bear their file."""
        name = f"{self.prefix}{HELPERS}"
        define, call = ast.parse(f"def {name}():\n    global x\n{name}()").body
        assert isinstance(define, ast.FunctionDef)
        define.body = [part for helper in helpers for part in rename.at_top(helper)]
        for part in [*define.body, define]:
            import_promised(part, promised, known)
        define.body.insert(0, ast.Global(sorted(rename.names.values())))
        for node in (define, define.body[0]):
            node.lineno = node.end_lineno = helpers[0].lineno
        return define, call


def _after_imports(tree: ast.Module) -> int:
    imports = [i for i, node in enumerate(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)]
    return max(imports, default=0) + 1


def _put_in_place(place: Function, mine: Function, name: str) -> None:
    """Give a function of the package the learner's arguments and body, and lines of the learner's file.

    Decorators are the package's; those that the learner added come closest to the function.
    """
    note = ast.parse(f"{RAN}.add({name!r})").body
    documented = ast.get_docstring(mine) is not None
    line = first_line(mine)
    place.args, place.returns = mine.args, mine.returns
    place.body = [*mine.body[:documented], *note, *mine.body[documented:]]
    place.lineno, place.end_lineno = line, mine.end_lineno
    given = {ast.unparse(d) for d in place.decorator_list}
    place.decorator_list += [d for d in mine.decorator_list if ast.unparse(d) not in given]
    for node in [*note, *place.decorator_list]:
        for part in ast.walk(node):
            if isinstance(part, ast.expr | ast.stmt):
                part.lineno = part.end_lineno = line
                part.col_offset = part.end_col_offset = 0


def _named(code: CodeType, files: Mapping[tuple[str, int], str], inside: str | None = None) -> CodeType:
    """The code object in which those of the learner's functions bear the learner's file and names."""
    file = inside or files.get((code.co_qualname, code.co_firstlineno))
    constants = tuple(_named(c, files, file) if isinstance(c, CodeType) else c for c in code.co_consts)
    if file is None:
        return code.replace(co_consts=constants)
    names = {"co_name": _PREFIXED.sub("", code.co_name), "co_qualname": _PREFIXED.sub("", code.co_qualname)}
    return code.replace(co_consts=constants, co_filename=file, **names)  # type: ignore[arg-type]
