"""What checks say: right values pass, wrong ones are told apart and shown as a learner reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
import tinytorch.nn
from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import Raised, Wrong, show
from tinytorch.ops.arithmetic import Mul
from tinytorch.ops.base import Op

A = np.arange(6.0).reshape(2, 3)


def _wrong(check: Callable[[], object]) -> Wrong:
    with pytest.raises(Wrong) as caught:
        check()
    return caught.value


def test_a_call_is_evaluated_with_the_names_of_the_check() -> None:
    b = A + 1  # noqa: F841 - the call names it
    assert expect.value("b.sum() + A.size") == 27.0
    assert expect.value("c + 1", c=2) == 3


def test_close_passes_what_is_near_and_returns_it() -> None:
    assert expect.close("A * 2", A + A) is not None
    expect.close("A + 1e-8", A)
    expect.close("tt.ones(2)", [1, 1])
    expect.close("(A, [A, 1.0])", (A, [A, 1.0]))
    expect.close("A", [[0, 1, 2], [3, 4, 5]])
    expect.close("float('nan')", np.nan)
    expect.close("tt.ones(2)", [1, 1], dtype="float32")


def test_the_first_difference_is_named() -> None:
    wrong = _wrong(lambda: expect.close("A", A + np.eye(2, 3)))
    assert wrong.called == "A"
    assert wrong.difference == "Element [0, 0] is 0 and should be 1; 2 of 6 elements differ."
    assert wrong.got == "float64 (2, 3) [0. 1. 2. 3. 4. 5.]"


def test_one_array_is_no_tuple() -> None:
    wrong = _wrong(lambda: expect.close("A", (A,)))
    assert wrong.difference == "That is one array, not a tuple of 1 value."
    expect.close("np.array([1, 2])", (1, 2))


def test_close_numbers_are_shown_with_the_digits_that_differ() -> None:
    wrong = _wrong(lambda: expect.close("0.1234567890123", 0.12345678902, rtol=0, atol=0))
    assert wrong.difference == "It is 0.123456789012 and should be 0.12345678902."
    assert "is 0.333333 and should be 0.5." in _wrong(lambda: expect.close("1 / 3", 0.5)).difference


@pytest.mark.parametrize(
    ("call", "want", "difference"),
    [
        ("A", A.T, "Shape (2, 3) is not (3, 2)."),
        ("None", A, "Nothing was returned: is a return missing?"),
        ("'text'", 1.0, "That is not numbers."),
        ("[[1, 2], [3]]", A, "That is not numbers."),
        ("1.0", 2.0, "It is 1 and should be 2."),
        ("A.sum(0)", A.sum(1), "Shape (3,) is not (2,)."),
        ("np.inf", 1.0, "It is inf and should be 1."),
    ],
)
def test_what_is_not_close(call: str, want: Any, difference: str) -> None:
    assert _wrong(lambda: expect.close(call, want)).difference == difference


def test_the_wrong_number_of_values_and_the_wrong_dtype() -> None:
    assert _wrong(lambda: expect.close("(A,)", (A, A))).expected.startswith("2 values")
    assert _wrong(lambda: expect.close("A", A, dtype="float32")).got == "dtype float64"
    assert _wrong(lambda: expect.close("[A, A + 1]", [A, A])).called == "[A, A + 1][1]"


@pytest.mark.parametrize(
    ("call", "want"),
    [
        ("3", 3),
        ("'a'", "a"),
        ("(1, 2)", (1, 2)),
        ("np.arange(3)", [0, 1, 2]),
        ("{'a': 1}", {"a": 1}),
        ("None", None),
    ],
)
def test_equal_passes(call: str, want: Any) -> None:
    expect.equal(call, want)


@pytest.mark.parametrize(
    ("call", "want", "difference"),
    [
        ("3", 4, ""),
        ("3.0", 3, "It is of type float, not int."),
        ("True", 1, "It is of type bool, not int."),
        ("[1, 2]", (1, 2), "It is of type list, not tuple."),
        ("'abd'", "abc", "They differ first at position 2: 'd' is not 'c'."),
        ("(1,)", (1, 2), "Length 1 is not 2."),
        ("np.array([1.0, 2.0])", np.array([1, 2]), ""),
        ("np.array([1, 3])", np.array([1, 2]), "Element [1] is 3 and should be 2; 1 of 2 elements differ."),
    ],
)
def test_what_is_not_equal(call: str, want: Any, difference: str) -> None:
    assert _wrong(lambda: expect.equal(call, want)).difference == difference


def test_true_says_in_words_what_should_hold() -> None:
    expect.true("A >= 0", "no element is negative")
    assert _wrong(lambda: expect.true("A > 0", "all are positive")).expected == "that all are positive"
    assert _wrong(lambda: expect.true("[]", "there are some")).got == "[]"


def _refuse(words: str) -> None:
    raise ShapeError(words)


def test_raises_wants_the_kind_and_the_words() -> None:
    expect.raises("_refuse('axis 3')", ShapeError, "axis", "3")
    assert _wrong(lambda: expect.raises("A.sum()", ShapeError)).difference == "No error was raised."
    assert _wrong(lambda: expect.raises("1 / 0", ShapeError)).got == "ZeroDivisionError: division by zero"
    wrong = _wrong(lambda: expect.raises("_refuse('axis 3')", ShapeError, "axis 4"))
    assert wrong.difference == "The message lacks axis 4."


def test_an_error_in_a_call_keeps_the_call_and_its_inputs() -> None:
    b = A[:1]  # noqa: F841 - the call names it
    with pytest.raises(Raised) as caught:
        expect.close("b @ b", 1.0)
    assert caught.value.called == "b @ b"
    assert caught.value.given == [("b", "float64 (1, 3) [0. 1. 2.]")]
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(Raised):
        expect.raises("_stub()", ShapeError, _stub=_stub)


def _stub() -> None:
    raise NotImplementedError("x")


class HalfMul(Mul):
    """An op whose gradient is wrong in its second input."""

    def vjp(self, g: Any, out: Any, a: Any, b: Any) -> Any:
        return g * b, g * a * 0.5


class NoGrad(Mul):
    def vjp(self, g: Any, out: Any, a: Any, b: Any) -> Any:
        return None, g * a


def test_gradient_agrees_with_differences(request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3,))
    expect.gradient("Mul()", a, b)
    wrong = _wrong(lambda: expect.gradient("HalfMul()", a, b))
    assert wrong.called == "HalfMul().vjp(g, out, x0, x1)[1]"
    assert [name for name, _ in wrong.given] == ["g", "out", "x0", "x1"]
    assert _wrong(lambda: expect.gradient("NoGrad()", a, b)).got == "None"
    assert issubclass(HalfMul, Op)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (np.float32(2.5), "float32 () 2.5"),
        (np.arange(20), "int64 (20,) [0 1 2 3 4 5 ...]"),
        (np.zeros((0, 3)), "float64 (0, 3) []"),
        (tt.ones(2), "Tensor float32 (2,) [1. 1.]"),
        ("x" * 300, "'" + "x" * 156 + "..."),
        (ShapeError("no"), "ShapeError: no"),
        (None, "None"),
    ],
)
def test_values_are_shown_in_a_line(thing: Any, text: str) -> None:
    assert show(thing) == text


def test_arrays_within_lists_tuples_and_dicts() -> None:
    expect.equal("[np.array([1, 2])]", [[1, 2]])
    expect.equal("(A, {'a': [A, 1]}, 'x')", (A, {"a": [A, 1]}, "x"))
    expect.equal("[tt.nn.Parameter(A)]", [A])
    expect.close("{'a': A, 'b': 1.0}", {"a": A + 1e-9, "b": 1.0})
    wrong = _wrong(lambda: expect.equal("[np.array([1, 2]), 5]", [[1, 3], 5]))
    assert wrong.called == "[np.array([1, 2]), 5][0]"
    assert wrong.difference.startswith("Element [1] is 2 and should be 3")
    assert _wrong(lambda: expect.equal("[A]", [A, A])).difference == "Length 1 is not 2."
    assert "type list" in _wrong(lambda: expect.equal("[A]", (A,))).difference
    assert _wrong(lambda: expect.equal("{'a': A}", {"b": A})).difference == "Its keys are a and should be b."
    assert _wrong(lambda: expect.close("{'a': A}", {"a": A + 1})).called == "{'a': A}['a']"


def test_numbers_that_make_no_array() -> None:
    ragged = [[1.0, 2.0], [3.0]]
    expect.close("[[1.0, 2.0], [3.0]]", ragged)
    expect.close("[np.array([1.0, 2.0]), [3.0]]", ragged)
    assert _wrong(lambda: expect.close("A", ragged)).difference == "That is one array, not 2 values."
    assert _wrong(lambda: expect.equal("np.float64(1)", "abc")).expected == "'abc'"
