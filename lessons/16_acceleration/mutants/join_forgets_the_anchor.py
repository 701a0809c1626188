"""join does not say that the group has a product at its front."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            joined = Group(joined.shape, united(group, joined).calls)
    return joined
