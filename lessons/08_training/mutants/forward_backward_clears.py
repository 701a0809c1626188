"""forward_backward forgets the gradients of the batch before."""


def forward_backward(model, loss, batch, share=1.0):
    for p in model.parameters():
        p.grad = None
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    value = float(result.item())
    if math.isfinite(value):
        (result * share).backward()
    return output, value
