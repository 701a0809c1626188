"""Losses against SciPy in float64, far out and at zero, and what they refuse."""

import numpy as np
import pytest
from scipy import special

from tinytorch import Tensor, gradcheck, nn
from tinytorch.errors import DataError, ShapeError
from tinytorch.nn import functional

RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 4))


def test_mse_loss() -> None:
    target = RNG.standard_normal(X.shape)
    for reduction, expected in (("mean", np.mean), ("sum", np.sum), ("none", np.asarray)):
        loss = nn.MSELoss(reduction)(Tensor(X), Tensor(target))
        assert np.allclose(loss.data, expected((X - target) ** 2), rtol=1e-12)


def test_cross_entropy_loss_hands_its_settings_on() -> None:
    labels = np.array([2, 0, 1])
    log_p = special.log_softmax(X, 1)
    smooth = -(0.9 * log_p[np.arange(3), labels] + 0.1 * log_p.mean(1))
    assert np.isclose(
        nn.CrossEntropyLoss(label_smoothing=0.1)(Tensor(X), Tensor(labels)).item(), smooth.mean()
    )
    ignoring = nn.CrossEntropyLoss(0.1, ignore_index=0, reduction="sum")
    assert np.isclose(ignoring(Tensor(X), Tensor(labels)).item(), smooth[[0, 2]].sum())
    with pytest.raises(DataError, match="label 4"):
        nn.CrossEntropyLoss()(Tensor(X), Tensor([0, 1, 4]))


@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_bce_with_logits(pos_weight: float | None) -> None:
    x, target = RNG.standard_normal(20) * 3, RNG.random(20)
    weight = 1.0 if pos_weight is None else pos_weight
    expected = -(weight * target * special.log_expit(x) + (1 - target) * special.log_expit(-x))
    given_weight = None if pos_weight is None else Tensor(np.array(pos_weight))
    for reduction, reduce in (("mean", np.mean), ("sum", np.sum), ("none", np.asarray)):
        loss = nn.BCEWithLogitsLoss(given_weight, reduction)
        assert np.allclose(loss(Tensor(x), Tensor(target)).data, reduce(expected), rtol=1e-12)
    assert gradcheck(
        lambda a, b: functional.binary_cross_entropy_with_logits(a, b, given_weight),
        [Tensor(x), Tensor(target)],
    )


def test_bce_is_finite_far_out_and_its_gradient_is_right_at_zero() -> None:
    x = Tensor([-1e4, -80.0, 0.0, 0.0, 80.0, 1e4], requires_grad=True)
    target = Tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    loss = nn.BCEWithLogitsLoss(reduction="none")(x, target)
    assert np.allclose(loss.data, [1e4, 0, np.log(2), np.log(2), 0, 1e4], rtol=1e-6)
    loss.sum().backward()
    assert np.allclose(x.grad.data, special.expit(x.data) - target.data, atol=1e-7)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.BCEWithLogitsLoss()])
def test_losses_refuse_what_does_not_fit(loss: nn.Module) -> None:
    with pytest.raises(ShapeError, match=r"\(3, 1\) and target \(3,\)"):
        loss(Tensor(np.ones((3, 1))), Tensor(np.ones(3)))
    with pytest.raises(DataError, match="empty"):
        loss(Tensor(np.ones((0, 2))), Tensor(np.ones((0, 2))))
    with pytest.raises(DataError, match="reduction"):
        type(loss)(reduction="average")(Tensor([1.0]), Tensor([1.0]))  # type: ignore[call-arg]
