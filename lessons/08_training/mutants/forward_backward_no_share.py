"""forward_backward adds the whole gradient."""


def forward_backward(model, loss, batch, share=1.0):
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    value = float(result.item())
    if math.isfinite(value):
        result.backward()
    return output, value
