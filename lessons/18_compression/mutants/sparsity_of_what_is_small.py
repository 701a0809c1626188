"""sparsity_of takes small weights for zeros."""


def sparsity_of(model, paths=None):
    rows = []
    for path, layer in chosen_layers(model, paths).items():
        w = layer.weight.data
        zeros = int((np.abs(w) < 1e-8).sum())
        outputs = w.reshape(len(w), -1).any(1)
        inputs = np.moveaxis(w, 1, 0).reshape(w.shape[1], -1).any(1)
        rows.append(LayerRow(path, w.shape, w.size, zeros, int((~outputs).sum()), int((~inputs).sum())))
    return tuple(rows)
