"""DataLoader.load_state_dict goes on one batch too late."""


class DataLoader:
    def load_state_dict(self, state):
        epoch, batch, seed = (int(state.get(k, -1)) for k in ("epoch", "batch", "seed"))
        if set(state) != {"epoch", "batch", "seed"} or min(epoch, batch, seed) < 0:
            raise CheckpointError("state")
        if batch > len(self) or seed >= 2**64:
            raise CheckpointError("state")
        self.epoch, self.position, self.seed, self._resumed = epoch, batch + 1, seed, True
