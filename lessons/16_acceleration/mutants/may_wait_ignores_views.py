"""may_wait thinks that a view and what reads it are in nobody's way."""


def may_wait(chains, members, at):
    for member in members:
        for value in chains.graph.calls[member].made:
            for reader in chains.readers(value):
                if reader < at and reader not in members and not is_view(chains.graph.calls[reader]):
                    return False
    return True
