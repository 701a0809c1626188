"""may_wait thinks that a view reads at once."""


def may_wait(chains, members, at):
    for member in members:
        for value in chains.graph.calls[member].made:
            if any(reader < at and reader not in members for reader in chains.readers(value)):
                return False
    return True
