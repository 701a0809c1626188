"""may_wait asks for what the last member makes only."""


def may_wait(chains, members, at):
    pending = list(chains.graph.calls[max(members)].made)
    while pending:
        for reader in chains.readers(pending.pop()):
            if reader >= at or reader in members:
                continue
            if not is_view(chains.graph.calls[reader]):
                return False
            pending += chains.graph.calls[reader].made
    return True
