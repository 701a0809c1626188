"""The ops: each says on one screen what it computes, how gradients flow, what it costs, how to test it."""
