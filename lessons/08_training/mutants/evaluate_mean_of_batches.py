"""evaluate weighs all batches alike."""


def evaluate(model, loader, loss, metrics=()):
    mean = RunningMean()
    for metric in metrics:
        metric.reset()
    with evaluating(model), no_grad():
        for batch in loader:
            count = count_of(batch)
            output = model(*batch[:-1])
            value = float(loss(output, batch[-1]).item())
            mean.add(value)
            for metric in metrics:
                metric.update(output, batch[-1], value, count)
    if not mean.weight:
        raise DataError("evaluate: the loader has no batches")
    return {"loss": mean.value()} | {metric.name: metric.value() for metric in metrics}
