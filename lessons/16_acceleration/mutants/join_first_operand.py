"""join looks at the first operand only."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs[:1]:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            joined = united(group, joined)
    return joined
