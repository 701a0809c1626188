"""sparsity_of takes inputs for outputs."""


def sparsity_of(model, paths=None):
    rows = []
    for path, layer in chosen_layers(model, paths).items():
        w = layer.weight.data
        zeros = w.size - int(np.count_nonzero(w))
        outputs = np.moveaxis(w, 1, 0).reshape(w.shape[1], -1).any(1)
        inputs = w.reshape(len(w), -1).any(1)
        rows.append(LayerRow(path, w.shape, w.size, zeros, int((~outputs).sum()), int((~inputs).sum())))
    return tuple(rows)
