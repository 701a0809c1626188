"""visible_pairs takes half of all pairs, without the diagonal."""


def visible_pairs(causal, queries, keys):
    return (queries * keys // 2 if causal else queries * keys), queries * keys
