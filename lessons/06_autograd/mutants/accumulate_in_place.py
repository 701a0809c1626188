"""accumulate changes the old gradient, which others may hold."""


def accumulate(leaf, g, taken):
    if leaf.grad is None:
        leaf.grad = g.clone()
    else:
        leaf.grad.assign_(leaf.grad + g)
    taken.add(id(leaf.grad))
