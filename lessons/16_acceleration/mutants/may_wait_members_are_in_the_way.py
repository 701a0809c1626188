"""may_wait counts members among the readers that are in the way."""


def may_wait(chains, members, at):
    pending = [v for member in members for v in chains.graph.calls[member].made]
    while pending:
        for reader in chains.readers(pending.pop()):
            if reader < at and not is_view(chains.graph.calls[reader]):
                return False
            if reader < at:
                pending += chains.graph.calls[reader].made
    return True
