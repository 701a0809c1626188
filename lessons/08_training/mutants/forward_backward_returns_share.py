"""forward_backward returns the share of the loss."""


def forward_backward(model, loss, batch, share=1.0):
    output = model(*batch[:-1])
    result = loss(output, batch[-1]) * share
    value = float(result.item())
    if math.isfinite(value):
        result.backward()
    return output, value
