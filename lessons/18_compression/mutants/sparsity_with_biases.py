"""sparsity_of counts biases too, most of which begin at zero."""


def sparsity_of(model, paths=None):
    rows = []
    for path, layer in chosen_layers(model, paths).items():
        w = layer.weight.data
        zeros = sum(int((p.data == 0).sum()) for p in layer.parameters())
        outputs = w.reshape(len(w), -1).any(1)
        inputs = np.moveaxis(w, 1, 0).reshape(w.shape[1], -1).any(1)
        rows.append(
            LayerRow(
                path,
                w.shape,
                sum(p.size for p in layer.parameters()),
                zeros,
                int((~outputs).sum()),
                int((~inputs).sum()),
            )
        )
    return tuple(rows)
