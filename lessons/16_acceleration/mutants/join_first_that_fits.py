"""join stops at the first group that fits."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            return united(group, joined)
    return joined
