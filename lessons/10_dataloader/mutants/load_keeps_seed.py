"""DataLoader.load_state_dict keeps its own seed."""


class DataLoader:
    def load_state_dict(self, state):
        if set(state) != {"epoch", "batch", "seed"}:
            raise CheckpointError("state")
        epoch, batch, seed = state["epoch"], state["batch"], state["seed"]
        if epoch < 0 or not 0 <= batch <= len(self) or not 0 <= seed < 2**64:
            raise CheckpointError("state")
        self.epoch, self.position, self._resumed = epoch, batch, True
