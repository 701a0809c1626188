"""nucleus looks at the first 1024 tokens, likely or not."""


def nucleus(p, top_p):
    tokens = np.arange(SORTED) if len(p) > SORTED else np.arange(len(p))
    if p[tokens].sum() < top_p:
        tokens = np.arange(len(p))
    tokens = tokens[np.argsort(-p[tokens], kind="stable")]
    count = int(np.searchsorted(np.cumsum(p[tokens]), top_p)) + 1
    return tokens[:count]
