"""forward_backward runs backward on a loss that is not finite."""


def forward_backward(model, loss, batch, share=1.0):
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    (result * share).backward()
    return output, float(result.item())
