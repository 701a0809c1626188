"""Parts.tensors leaves the buffers of the model out."""


class Parts:
    def tensors(self, best_weights):
        found = {f"model.{name}": p.data for name, p in self.model.named_parameters()}
        found |= {f"best.{name}": array for name, array in best_weights.items()}
        state = self.optimizer.state_dict()
        found |= {f"optimizer.{key}": v.data for key, v in state.items() if isinstance(v, Tensor)}
        found |= {f"generator.{name}": g.state.data for name, g in self.generators.items()}
        return found
