"""evaluating leaves the model in evaluation mode after an error."""


def evaluating(model):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    yield
    for module, training in modes:
        module.training = training
