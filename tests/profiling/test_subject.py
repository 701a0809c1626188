"""What is measured: calls resolved and checked before anything runs."""

import functools

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.errors import ProfilingError
from tinytorch.models import GPT, MLP
from tinytorch.profiling.subject import subject_of


def test_a_model_and_its_forward_take_the_example_input() -> None:
    model = MLP((4, 3))
    for function in (model, model.forward):
        subject = subject_of(function)
        assert subject.model is model
        assert subject.args == (model.example_input,)
        assert subject.name == "MLP"
        assert subject.call().shape == (1, 3)


def test_arguments_are_passed_on() -> None:
    model, x = MLP((4, 3)), Tensor(np.ones((5, 4), np.float32))
    assert subject_of(model.forward, args=(x,)).call().shape == (5, 3)
    ids = Tensor(np.zeros((1, 2), np.int64))
    gpt = GPT(vocab_size=5, context=4, width=8, layers=1, heads=2)
    subject = subject_of(gpt, kwargs={"ids": ids})
    assert subject.call().shape == (1, 2, 5)
    assert subject.kwargs == {"ids": ids}


def test_other_callables_have_no_model() -> None:
    def double(x: int, *, plus: int = 0) -> int:
        return 2 * x + plus

    subject = subject_of(double, (2,), {"plus": 1})
    assert (subject.name, subject.model, subject.call()) == ("double", None, 5)
    assert subject_of(functools.partial(double, 4)).call() == 8
    assert subject_of(max, (1, 3)).call() == 3
    assert subject_of([3, 1].sort).name == "sort"
    lambda_ = subject_of(lambda: 7)
    assert lambda_.call() == 7


def test_another_method_of_a_model_does_not_get_the_example_input() -> None:
    model = MLP((4, 3))
    subject = subject_of(model.num_parameters)
    assert subject.args == ()
    assert subject.call() == 15
    assert subject.model is model


@pytest.mark.parametrize(
    ("function", "args", "says"),
    [
        (3, None, "int 3 cannot be called"),
        (None, None, "cannot be called"),
        (nn.ReLU(), None, "ReLU has no example_input: pass the inputs as args"),
        (MLP((4, 3)), (1, 2, 3), "too many positional arguments"),
        (lambda x: x, (), "missing a required argument: 'x'"),
    ],
)
def test_what_cannot_be_called_so_is_refused_before_it_runs(
    function: object, args: object, says: str
) -> None:
    with pytest.raises(ProfilingError, match=says):
        subject_of(function, args)  # type: ignore[arg-type]


def test_arguments_come_in_a_tuple() -> None:
    for args in (Tensor(np.zeros(1, np.float32)), "ab", 3):
        with pytest.raises(ProfilingError, match=r"pass a tuple of the arguments, as args=\(x,\)"):
            subject_of(lambda *given: given, args)  # type: ignore[arg-type]
