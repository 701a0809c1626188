"""forward_backward gives the model the first input only."""


def forward_backward(model, loss, batch, share=1.0):
    output = model(batch[0])
    result = loss(output, batch[-1])
    value = float(result.item())
    if math.isfinite(value):
        (result * share).backward()
    return output, value
