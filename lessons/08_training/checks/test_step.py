"""One batch forward and backward, one step of the Trainer, and the best weights."""

import math

import numpy as np
from helpers import Two, batch_of, line, squares, together, trainer_of

from tinytorch.errors import DataError, TrainingError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn import Linear, MSELoss
from tinytorch.optim import SGD, StepLR
from tinytorch.tensor import Tensor
from tinytorch.training.step import forward_backward

# ---------------------------------------------------------------- forward_backward


@exercise("forward_backward")
def test_output_loss_and_gradient(rng):
    model, batch = line(), batch_of(rng, 5)
    loss, d_weight, d_bias = squares(model, batch)
    want = batch[0].numpy() @ model.weight.numpy().T + model.bias.numpy()
    output, value = expect.value("forward_backward(model, MSELoss(), batch)")
    expect.close("output", want)
    expect.close("value", loss)
    expect.true("isinstance(value, float)", "the loss comes back as a Python number")
    expect.close("model.weight.grad", d_weight)
    expect.close("model.bias.grad", d_bias)


@exercise("forward_backward")
def test_a_share_of_the_gradient(rng):
    model, batch = line(), batch_of(rng, 4)
    loss, d_weight, _ = squares(model, batch)
    expect.close("forward_backward(model, MSELoss(), batch, 0.25)[1]", loss)
    expect.close("model.weight.grad", 0.25 * d_weight)


@exercise("forward_backward")
def test_gradients_add_up(rng):
    model, one, two = line(), batch_of(rng, 4), batch_of(rng, 3)
    want = 0.5 * squares(model, one)[1] + 2.0 * squares(model, two)[1]
    expect.value("forward_backward(model, MSELoss(), one, share=0.5)")
    expect.value("forward_backward(model, MSELoss(), two, share=2.0)")
    expect.close("model.weight.grad", want)


@exercise("forward_backward")
def test_several_inputs_before_the_target():
    model = Two()
    batch = (Tensor(np.array([1.0, 2.0])), Tensor(np.array([10.0, 20.0])), Tensor(np.array([0.0, 1.0])))
    output, value = expect.value("forward_backward(model, MSELoss(), batch)")
    expect.close("output", [13.0, 26.0])
    expect.close("value", (13.0**2 + 25.0**2) / 2)
    expect.close("model.weight.grad", [13.0 * 1 + 25.0 * 2])


@exercise("forward_backward")
def test_a_loss_that_is_not_finite(rng):
    model = line()
    bad = (Tensor(np.array([[1.0, math.nan]])), Tensor(np.array([[0.0]])))
    huge = (Tensor(np.array([[1e200, 0.0]])), Tensor(np.array([[0.0]])))
    expect.true("math.isnan(forward_backward(model, MSELoss(), bad)[1])", "the loss is returned as it is")
    expect.equal("forward_backward(model, MSELoss(), huge)[1]", math.inf)
    expect.true("model.weight.grad is None", "a loss that is not finite adds no gradients")


# ---------------------------------------------------------------- Trainer.step


@exercise("Trainer.step")
def test_one_batch(rng):
    model, batch = line(), batch_of(rng, 4)
    trainer = trainer_of(model, lr=0.1)
    loss, d_weight, d_bias = squares(model, batch)
    weight, bias = model.weight.numpy() - 0.1 * d_weight, model.bias.numpy() - 0.1 * d_bias
    expect.close("trainer.step([batch])", loss)
    expect.close("model.weight", weight)
    expect.close("model.bias", bias)


@exercise("Trainer.step")
def test_old_gradients_are_forgotten(rng):
    model, batch = line(), batch_of(rng, 4)
    trainer = trainer_of(model, lr=0.1)
    for p in model.parameters():
        p.grad = Tensor(np.full(p.shape, 100.0))
    want = model.weight.numpy() - 0.1 * squares(model, batch)[1]
    expect.value("trainer.step([batch])")
    expect.close("model.weight", want)
    want = model.weight.numpy() - 0.1 * squares(model, batch)[1]
    expect.value("trainer.step([batch])")
    expect.close("model.weight", want)


@exercise("Trainer.step")
def test_batches_of_different_sizes_are_one_big_batch(rng):
    model, batches = line(), [batch_of(rng, 5), batch_of(rng, 1), batch_of(rng, 2)]
    trainer = trainer_of(model, lr=0.1)
    loss, d_weight, d_bias = squares(model, together(*batches))
    weight, bias = model.weight.numpy() - 0.1 * d_weight, model.bias.numpy() - 0.1 * d_bias
    expect.close("trainer.step(batches)", loss)
    expect.close("model.weight", weight)
    expect.close("model.bias", bias)


@exercise("Trainer.step")
def test_clipping_comes_between_backward_and_step(rng):
    model, batches = line(), [batch_of(rng, 4), batch_of(rng, 2)]
    trainer = trainer_of(model, lr=1.0, clip=0.01)
    _, d_weight, d_bias = squares(model, together(*batches))
    norm = math.sqrt((d_weight**2).sum() + (d_bias**2).sum())
    want = model.weight.numpy() - 0.01 * d_weight / norm
    expect.value("trainer.step(batches)")
    expect.close("model.weight", want, rtol=1e-4)


@exercise("Trainer.step")
def test_the_schedule_is_set_to_the_step(rng):
    model, batch = line(), batch_of(rng, 4)
    optimizer = SGD(model.parameters(), lr=0.8)
    trainer = trainer_of(model)
    trainer.optimizer, trainer.schedule = optimizer, StepLR(optimizer, step_size=2, gamma=0.5)
    trainer.progress.step = 5
    want = model.weight.numpy() - 0.2 * squares(model, batch)[1]
    expect.value("trainer.step([batch])")
    expect.close("float(optimizer.param_groups[0]['lr'])", 0.2)
    expect.close("model.weight", want)


@exercise("Trainer.step")
def test_what_stops_a_step(rng):
    model = line()
    trainer = trainer_of(model)
    bad = (Tensor(np.array([[1.0, math.nan]])), Tensor(np.array([[0.0]])))
    good = batch_of(rng, 2)
    expect.raises("trainer.step([good, bad])", TrainingError, "loss is nan")
    expect.raises("trainer.step([good[0]])", DataError)
    expect.close("model.weight", np.array([[1.0, 2.0]]))


@exercise("Trainer.step")
def test_gradients_that_are_not_finite():
    model = Linear(1, 1)
    before = model.weight.numpy()
    trainer = trainer_of(model, clip=1.0)
    trainer.loss = lambda output, target: (output * 0.0).sqrt().sum()
    expect.raises("trainer.step([(Tensor([[1.0]]), Tensor([[1.0]]))])", TrainingError, "gradients")
    expect.close("model.weight", before)


@exercise("Trainer.step")
def test_a_whole_run():
    model = line((0.0, 0.0))
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]])
    y = x @ [[2.0], [-3.0]] + 1.0
    trainer = trainer_of(model, lr=0.15, accumulate=2)
    batches = [(Tensor(x[:3]), Tensor(y[:3])), (Tensor(x[3:]), Tensor(y[3:]))]
    history = expect.value("trainer.fit(batches, epochs=400)")
    expect.equal("len(history.losses)", 400)
    expect.close("model.weight", np.array([[2.0, -3.0]]), atol=1e-2)
    expect.close("model.bias", [1.0], atol=1e-2)


# ---------------------------------------------------------------- Trainer.keep_if_best


@exercise("Trainer.keep_if_best")
def test_smaller_losses_are_better():
    trainer = trainer_of(line())
    call = "[trainer.keep_if_best(figure) for figure in (0.5, 0.7, 0.5, 0.4, 0.45)]"
    expect.equal(call, [True, False, False, True, False])
    expect.equal("trainer.progress.best", 0.4)


@exercise("Trainer.keep_if_best")
def test_larger_accuracies_are_better():
    trainer = trainer_of(line())
    trainer.higher_is_better = True
    call = "[trainer.keep_if_best(figure) for figure in (0.5, 0.7, 0.6, 0.7, 0.9)]"
    expect.equal(call, [True, True, False, False, True])
    expect.equal("trainer.progress.best", 0.9)


@exercise("Trainer.keep_if_best")
def test_zero_and_negative_figures():
    trainer = trainer_of(line())
    expect.equal("[trainer.keep_if_best(f) for f in (1.0, 0.0, 0.5, -1.0)]", [True, True, False, True])
    trainer = trainer_of(line())
    trainer.higher_is_better = True
    expect.equal("[trainer.keep_if_best(f) for f in (-2.0, -3.0, -1.0)]", [True, False, True])


@exercise("Trainer.keep_if_best")
def test_nan_is_never_best():
    trainer = trainer_of(line())
    figures = [math.nan, 3.0, math.nan, 2.0]
    expect.equal("[trainer.keep_if_best(f) for f in figures]", [False, True, False, True])
    expect.equal("trainer.progress.best", 2.0)


@exercise("Trainer.keep_if_best")
def test_the_weights_are_copies():
    model = line((1.0, 2.0), 3.0)
    trainer = trainer_of(model)
    expect.value("trainer.keep_if_best(1.0)")
    model.weight.assign_(np.array([[8.0, 9.0]]))
    expect.value("trainer.keep_if_best(2.0)")
    expect.equal("sorted(trainer.progress.best_weights)", ["bias", "weight"])
    expect.close("trainer.progress.best_weights['weight']", np.array([[1.0, 2.0]]))
    expect.close("trainer.progress.best_weights['bias']", [3.0])
    expect.value("trainer.keep_if_best(0.5)")
    expect.close("trainer.progress.best_weights['weight']", np.array([[8.0, 9.0]]))
