"""join sorts the calls, so that a product may stand behind what is done to it."""


def join(chains, groups, at):
    call = chains.graph.calls[at]
    joined = Group(chains.graph.specs[call.made[0]].shape, (at,))
    for value in call.inputs:
        group = groups.get(chains.maker(value))
        if group is not None and can_join(chains, group, joined):
            joined = Group(
                joined.shape, tuple(sorted({*group.calls, *joined.calls})), group.anchored or joined.anchored
            )
    return joined
