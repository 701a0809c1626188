"""nucleus says for each token whether it is in."""


def nucleus(p, top_p):
    tokens = np.argpartition(-p, SORTED)[:SORTED] if len(p) > SORTED else np.arange(len(p))
    if p[tokens].sum() < top_p:
        tokens = np.arange(len(p))
    tokens = tokens[np.argsort(-p[tokens], kind="stable")]
    count = int(np.searchsorted(np.cumsum(p[tokens]), top_p)) + 1
    return np.isin(np.arange(len(p)), tokens[:count])
