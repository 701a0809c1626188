"""The learner's functions stand in the place of the package's, under their own file and line."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tinytorch.learn.graft import ran
from tinytorch.learn.splice import graft
from tinytorch.learn.work import Clash, Piece, pieces_of, read_work

MODULE = '''
"""A module."""
from __future__ import annotations
import math
from functools import cache

SCALE = 2.0


def double(x: float) -> float:
    """Twice x."""
    return SCALE * x


@cache
def slow(x: int) -> int:
    return x + 1


class Base:
    def tell(self) -> str:
        return "base"


class Thing(Base):
    size = 3

    @property
    def area(self) -> int:
        """The area."""
        return self.size**2

    @area.setter
    def area(self, value: int) -> None:
        self.size = value

    def tell(self) -> str:
        return "thing"


made = double(4.0)
'''.lstrip()


def _run(
    tmp_path: Path, work: str, *names: str, others: tuple[str, ...] = (), module: str = MODULE
) -> dict[str, Any]:
    """The names of the module after its body ran with the functions of a work file in place."""
    file = tmp_path / "01_work.py"
    file.write_text(textwrap.dedent(work), encoding="utf-8")
    pieces = [Piece("m", name, str(file)) for name in names]
    scope: dict[str, Any] = {"__name__": "m", "__tito_ran__": set()}
    exec(graft(module.encode(), "/package/m.py", "m", pieces, others), scope)
    return scope


def test_a_function_runs_before_the_body_of_the_module_goes_on(tmp_path: Path) -> None:
    scope = _run(tmp_path, "def double(x):\n    return 10 * x\n", "double")
    assert scope["made"] == 40.0
    assert scope["__tito_ran__"] == {"double"}


def test_code_bears_the_name_and_the_lines_of_the_learners_file(tmp_path: Path) -> None:
    work = """
    import os


    def double(x):
        '''Mine.'''
        def inner():
            return [1 / 0 for _ in (1,)]
        return inner() if x > 5 else x
    """
    scope = _run(tmp_path, work, "double")
    double = scope["double"]
    assert double.__code__.co_filename == str(tmp_path / "01_work.py")
    assert double.__code__.co_firstlineno == 5
    assert double.__doc__ == "Mine."
    with pytest.raises(ZeroDivisionError) as caught:
        double(6)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(tmp_path / "01_work.py"), 8)
    assert scope["slow"].__wrapped__.__code__.co_filename == "/package/m.py"


def test_decorators_are_those_of_the_package(tmp_path: Path) -> None:
    scope = _run(tmp_path, "def slow(x):\n    return x + 100\n", "slow")
    assert scope["slow"](1) == 101
    assert scope["slow"].cache_info().misses == 1


def test_a_property_is_replaced_and_its_setter_stays(tmp_path: Path) -> None:
    scope = _run(
        tmp_path,
        "class Thing:\n    @property\n    def area(self):\n        return -self.size\n",
        "Thing.area",
    )
    thing = scope["Thing"]()
    thing.area = 7
    assert thing.area == -7


def test_super_and_names_of_the_module_work(tmp_path: Path) -> None:
    work = "class Thing:\n    def tell(self):\n        return super().tell() + str(math.floor(SCALE))\n"
    assert _run(tmp_path, work, "Thing.tell")["Thing"]().tell() == "base2"


def test_helpers_and_imports_come_along_if_they_are_used(tmp_path: Path) -> None:
    work = """
    from __future__ import annotations
    import itertools
    import nothing_of_this_name
    LIMIT: int = 3
    FACTOR = LIMIT * 2

    def helper(x):
        return next(itertools.count(FACTOR)) + x

    def unused():
        return nothing_of_this_name

    class Thing:
        def tell(self):
            return self.more() + helper(1)

        def more(self):
            return 100
    """
    scope = _run(tmp_path, work, "Thing.tell")
    assert scope["Thing"]().tell() == 107
    assert not [name for name in scope if "unused" in name or name == "helper"]
    helper = scope["_tito0_helper"]
    assert (helper.__name__, helper.__code__.co_qualname) == ("helper", "helper")
    assert helper.__code__.co_filename.endswith("01_work.py")
    assert scope["Thing"].more.__code__.co_filename.endswith("01_work.py")


def test_all_that_makes_a_helper_comes_along(tmp_path: Path) -> None:
    work = """
    import os.path
    UNITS = []
    TABLE = {}
    K = 1
    K += 1
    for unit in ("a", "b"):
        UNITS.append(unit)
    TABLE["x"] = [K]
    try:
        import no_module_of_this_name as fast
    except ImportError:
        fast = None
    if (Z := 3) > 2:
        W = Z + 1
    calls = 0
    print("a remark that nobody needs")

    class Helper:
        limit = 5
        def all(self):
            return [K, UNITS, TABLE, fast, W, self.limit]

    def count():
        global calls
        calls += 1
        return calls

    def double(x):
        K = 10
        return Helper().all() + [K, count(), count(), os.path.join("a", "b"), [K for K in (7,)]]
    """
    made = _run(tmp_path, work, "double")["made"]
    assert made == [2, ["a", "b"], {"x": [2]}, None, 4, 5, 10, 1, 2, "a/b", [7]]


def test_a_helper_may_have_any_name(tmp_path: Path) -> None:
    work = (
        "SCALE = 3\nmath = 4\ndef len(x):\n    return x\n\ndef double(x):\n    return SCALE * len(x) + math\n"
    )
    scope = _run(tmp_path, work, "double")
    assert scope["made"] == 16.0
    assert scope["SCALE"] == 2.0
    assert scope["math"].floor(2.5) == 2
    assert scope["slow"](1) == 2


def test_what_a_learner_adds_to_a_class(tmp_path: Path) -> None:
    work = """
    STEP = 2

    class Thing:
        MAGIC = STEP * 20

        def tell(self):
            return self.MAGIC + self.more()

        @staticmethod
        def more():
            return STEP
    """
    assert _run(tmp_path, work, "Thing.tell")["Thing"]().tell() == 42


@pytest.mark.parametrize(
    ("member", "name"), [("size = 9", "Thing.size"), ("def area(self): return 1", "Thing.area")]
)
def test_a_member_that_the_class_has_is_refused(tmp_path: Path, member: str, name: str) -> None:
    work = f"class Thing:\n    {member}\n    def tell(self):\n        return 'x'\n"
    with pytest.raises(Clash, match=f"{name} is in m already, and not an exercise") as caught:
        _run(tmp_path, work, "Thing.tell")
    assert (Path(caught.value.file).name, caught.value.line) == ("01_work.py", 2)
    assert _run(tmp_path, work, "Thing.tell", others=(name,))["Thing"]().tell() == "x"


def test_two_classes_of_one_name(tmp_path: Path) -> None:
    work = """
    class Thing:
        def tell(self):
            return "mine"

    class Thing:
        def forward(self):
            return self.size

        def size(self):
            return 1
    """
    scope = _run(tmp_path, work, "Thing.tell", others=("Thing.forward",))
    assert scope["Thing"]().tell() == "mine"
    assert scope["Thing"].size == 3
    assert "forward" not in vars(scope["Thing"])


def test_an_exercise_that_is_no_piece_is_no_helper(tmp_path: Path) -> None:
    work = "def slow(x):\n    return 1 / 0\n\ndef double(x):\n    return slow(x)\n"
    assert _run(tmp_path, work, "double", others=("slow",))["made"] == 5.0


def test_decorators_that_a_learner_adds_come_closest(tmp_path: Path) -> None:
    work = """
    def twice(f):
        return lambda *a: 2 * f(*a)

    class Thing:
        @property
        @twice
        def area(self):
            return self.size
    """
    assert _run(tmp_path, work, "Thing.area")["Thing"]().area == 6


def test_names_promised_to_editors_are_there(tmp_path: Path) -> None:
    work = """
    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        import itertools
        import os.path as paths
        from collections import Counter as Count
        from nowhere import SCALE, len, unused

    def helper(x):
        return paths.join("a", x)

    class Thing:
        def tell(self):
            '''Doc.'''
            fixed = [math for math in (1,)]
            return helper(str(next(itertools.count(len("abc"))) + int(SCALE))), fixed

    def double(x):
        return Count("aab")["a"] * x
    """
    scope = _run(tmp_path, work, "Thing.tell", "double")
    assert scope["Thing"]().tell() == ("a/5", [1])
    assert scope["Thing"].tell.__doc__ == "Doc."
    assert scope["made"] == 8.0
    assert not {"itertools", "Count", "paths"} & set(scope)


def test_a_piece_for_another_module_is_no_helper(tmp_path: Path) -> None:
    work = "def slow(x):\n    return 'mine'\n\ndef double(x):\n    return slow(x)\n"
    assert _run(tmp_path, work, "double", others=("slow",))["made"] == 5.0
    stub = "def slow(x):\n    raise NotImplementedError('slow')\n\ndef double(x):\n    return slow(x)\n"
    assert _run(tmp_path, stub, "double")["made"] == 5.0


def test_a_stub_raises_its_name_and_keeps_its_docstring() -> None:
    scope: dict[str, Any] = {"__name__": "m"}
    module = MODULE.replace("made = double(4.0)\n", "")
    exec(graft(module.encode(), "/package/m.py", "m", [Piece("m", "double", None)]), scope)
    assert scope["double"].__doc__ == "Twice x."
    with pytest.raises(NotImplementedError, match="^double$"):
        scope["double"](1)


def test_a_name_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="m has no triple"):
        _run(tmp_path, "def triple(x):\n    return x\n", "triple")


@pytest.mark.parametrize(
    ("body", "started"),
    [
        ("'''Doc.'''", False),
        ("raise NotImplementedError", False),
        ("'''Doc.'''\n    # TODO\n    raise NotImplementedError('x')", False),
        ("raise ValueError", True),
        ("pass", True),
        ("return None", True),
        ("x = 1\n    raise NotImplementedError", True),
    ],
)
def test_what_counts_as_started(tmp_path: Path, body: str, started: bool) -> None:
    file = tmp_path / "w.py"
    file.write_text(f"class A:\n  def f(self):\n    {body}\n", encoding="utf-8")
    assert read_work(file)["A.f"][1:3] == (started, 2)
    assert pieces_of([("m", "A.f"), ("m", "A.g")], file) == (
        [Piece("m", "A.f", str(file))] if started else []
    )


@pytest.mark.parametrize("mark", ["", "\ufeff", "# -*- coding: latin-1 -*-\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, mark: str, ends: str) -> None:
    file = tmp_path / "w.py"
    text = f"{mark}def f():\n    return '\u00e9'\n".replace("\n", ends)
    file.write_bytes(text.encode("latin-1" if "latin" in mark else "utf-8"))
    assert read_work(file)["f"].started


def test_a_file_that_does_not_parse_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "w.py"
    file.write_text("def f():\n    return (1\n", encoding="utf-8")
    with pytest.raises(SyntaxError) as caught:
        read_work(file)
    assert (caught.value.filename, caught.value.lineno) == (str(file), 2)


def test_nothing_is_grafted_in_this_process() -> None:
    assert ran == set()
