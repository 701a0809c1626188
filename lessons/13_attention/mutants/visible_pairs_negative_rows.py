"""visible_pairs counts queries that see nothing as seeing fewer than nothing."""


def visible_pairs(causal, queries, keys):
    if not causal:
        return queries * keys, queries * keys
    return sum(i + keys - queries + 1 for i in range(queries)), queries * keys
