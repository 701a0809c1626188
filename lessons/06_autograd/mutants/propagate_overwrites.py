"""propagate keeps the last gradient that arrives at a node instead of the sum."""


def propagate(order, gradient, give, retain_graph=False, create_graph=False):
    pending = {order[0]: gradient}
    for node in order:
        arrived = pending.pop(node, None)
        if arrived is not None:
            give(node, arrived)
            for source, g in input_gradients(node, arrived, create_graph):
                if isinstance(source, Tensor):
                    give(source, g)
                else:
                    pending[source] = g
        if not retain_graph:
            node.free()
