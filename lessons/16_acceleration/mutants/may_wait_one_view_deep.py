"""may_wait looks through one view, and not through a view of a view."""


def may_wait(chains, members, at):
    for member in members:
        for value in chains.graph.calls[member].made:
            for reader in chains.readers(value):
                if reader >= at or reader in members:
                    continue
                if not is_view(chains.graph.calls[reader]):
                    return False
                for seen in chains.graph.calls[reader].made:
                    for other in chains.readers(seen):
                        if other < at and other not in members and not is_view(chains.graph.calls[other]):
                            return False
    return True
