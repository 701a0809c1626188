"""evaluating puts everything into training mode at the end."""


def evaluating(model):
    model.eval()
    try:
        yield
    finally:
        model.train()
