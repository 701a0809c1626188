"""propagate never lets a sum go, so that all gradients are held to the end."""


def propagate(order, gradient, give, retain_graph=False, create_graph=False):
    sums = {order[0]: gradient}
    for node in order:
        arrived = sums.get(node)
        if arrived is not None:
            give(node, arrived)
            for source, g in input_gradients(node, arrived, create_graph):
                if isinstance(source, Tensor):
                    give(source, g)
                else:
                    sums[source] = sums[source] + g if source in sums else g
        if not retain_graph:
            node.free()
