"""Parts.tensors forgets where the random numbers stand."""


class Parts:
    def tensors(self, best_weights):
        found = {f"model.{name}": array for name, array in tensors_of(self.model).items()}
        found |= {f"best.{name}": array for name, array in best_weights.items()}
        state = self.optimizer.state_dict()
        found |= {f"optimizer.{key}": v.data for key, v in state.items() if isinstance(v, Tensor)}
        return found
