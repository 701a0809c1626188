"""visible_pairs forgets that attention need not be causal."""


def visible_pairs(causal, queries, keys):
    return sum(max(0, i + keys - queries + 1) for i in range(queries)), queries * keys
