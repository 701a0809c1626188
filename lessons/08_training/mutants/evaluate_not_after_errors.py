"""evaluate leaves the model in evaluation mode after an error."""


def evaluate(model, loader, loss, metrics=()):
    mean = RunningMean()
    for metric in metrics:
        metric.reset()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with no_grad():
        for batch in loader:
            count = count_of(batch)
            output = model(*batch[:-1])
            value = float(loss(output, batch[-1]).item())
            mean.add(value, count)
            for metric in metrics:
                metric.update(output, batch[-1], value, count)
    for module, was in modes:
        module.training = was
    if not mean.weight:
        raise DataError("evaluate: the loader has no batches")
    return {"loss": mean.value()} | {metric.name: metric.value() for metric in metrics}
