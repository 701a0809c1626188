"""propagate ends at a node that nothing arrived at."""


def propagate(order, gradient, give, retain_graph=False, create_graph=False):
    pending = {order[0]: gradient}
    for node in order:
        arrived = pending.pop(node, None)
        if arrived is None:
            return
        if arrived is not None:
            give(node, arrived)
            for source, g in input_gradients(node, arrived, create_graph):
                if isinstance(source, Tensor):
                    give(source, g)
                else:
                    pending[source] = pending[source] + g if source in pending else g
        if not retain_graph:
            node.free()
