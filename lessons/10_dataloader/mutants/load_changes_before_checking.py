"""DataLoader.load_state_dict changes the loader before it refuses."""


class DataLoader:
    def load_state_dict(self, state):
        if set(state) != {"epoch", "batch", "seed"}:
            raise CheckpointError("state")
        self.epoch, self.position, self.seed = state["epoch"], state["batch"], state["seed"]
        if self.epoch < 0 or not 0 <= self.position <= len(self) or not 0 <= self.seed < 2**64:
            raise CheckpointError("state")
        self._resumed = True
