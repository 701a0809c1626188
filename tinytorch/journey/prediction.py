"""Amdahl's prediction for a compiled model, from the profile of the eager one, beside the gain realised."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinytorch.profiling import words
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.statistics import Estimate, amdahl
from tinytorch.profiling.timing.comparison import SAME


@dataclass(frozen=True)
class Prediction:
    """What compiling was to gain, and what it gained, as factors of the eager time.

    `share` of the eager pass goes by outside of the kernels of modules that multiply matrices. A program
    needs no Python between its kernels, and its products take the ops around them in. So at best that share
    comes to nothing (s is infinite), and the pass is `predicted` = 1 / (1 - share) times as fast. `products`:
    time of those modules' kernels in the program over that before; `rest`: the share of the compiled pass
    that still goes by outside of them; both None where there is no program to look into.
    """

    share: float
    predicted: float
    realised: Estimate
    products: float | None
    rest: float | None
    text: str


def predict(before: Profile, after: Profile | None, realised: Estimate, word: str) -> Prediction:
    """The prediction from the eager profile, and the difference to the gain realised in words.

    `after`: the profile of the program, None if there is none; `word`: the verdict on the gain.
    """
    inside, whole = _products(before)
    share = 1 - inside / whole
    predicted = amdahl(Estimate(share, None, None), math.inf).value
    products = rest = None
    if after is not None and inside:
        inside_after, whole_after = _products(after)
        products, rest = inside_after / inside, 1 - inside_after / whole_after
    text = _in_words(share, predicted, realised, word, products, rest)
    return Prediction(share, predicted, realised, products, rest, text)


def _products(profile: Profile) -> tuple[float, float]:
    """Seconds inside the kernels of modules that multiply matrices, and of the whole pass."""
    inside = sum(row.kernel_seconds for row in profile.modules if row.matmul_flops)
    whole = sum(row.self_seconds.value for row in profile.modules)
    return min(inside, whole), whole


def _in_words(
    share: float,
    predicted: float,
    realised: Estimate,
    word: str,
    products: float | None,
    rest: float | None,
) -> str:
    found = (
        f"{words.percent(share)} of the eager pass go by outside of the kernels of modules that multiply "
        "matrices: in Python between ops, and in passes over memory of their own. With s = infinity for that "
        f"share, Amdahl's law predicts {words.figure(predicted)}x. "
    )
    gained = "no difference is shown" if word == SAME else words.times(realised)
    found += f"Realised: {gained}, {_beside(predicted, realised)}."
    if products is None or rest is None:
        return found
    return found + (
        f" The kernels of those modules now take {words.figure(products)} times as long as before, with all "
        f"that was fused into them, and {words.percent(rest)} of the compiled pass still go by outside of "
        "them."
    )


def _beside(predicted: float, realised: Estimate) -> str:
    """How the gain compares with the prediction.

    >>> _beside(2.0, Estimate(3.0, 2.5, 3.5)), _beside(2.0, Estimate(2.1, 1.9, 2.3))
    ('1.50 times what was predicted', 'as predicted')
    """
    low = realised.value if realised.low is None else realised.low
    high = realised.value if realised.high is None else realised.high
    if low <= predicted <= high:
        return "as predicted"
    return f"{words.figure(realised.value / predicted)} times what was predicted"
