"""Work: FLOPs and bytes, from the ops that run or from closed formulas."""
