"""TinyTorch beside its peers: one run, interleaved, as ratios."""
