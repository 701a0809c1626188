"""evaluating gives all parts the mode of the model."""


def evaluating(model):
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
