"""join takes the shape of the first operand for that of the group."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.inputs[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            joined = united(group, joined)
    return joined
