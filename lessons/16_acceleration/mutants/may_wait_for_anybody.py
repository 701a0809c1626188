"""may_wait refuses for each reader, though it stands behind."""


def may_wait(chains, members, at):
    pending = [v for member in members for v in chains.graph.calls[member].made]
    while pending:
        for reader in chains.readers(pending.pop()):
            if reader in members or reader == at:
                continue
            if not is_view(chains.graph.calls[reader]):
                return False
            pending += chains.graph.calls[reader].made
    return True
