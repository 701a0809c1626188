"""join does not ask whether both can join."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and group.calls[-1] not in joined.calls:
            joined = united(group, joined)
    return joined
