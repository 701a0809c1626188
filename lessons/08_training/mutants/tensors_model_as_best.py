"""Parts.tensors stores the weights of now as the best ones."""


class Parts:
    def tensors(self, best_weights):
        found = {}
        for name, array in tensors_of(self.model).items():
            found[f"model.{name}"] = array
            if best_weights:
                found[f"best.{name}"] = array
        state = self.optimizer.state_dict()
        found |= {f"optimizer.{key}": v.data for key, v in state.items() if isinstance(v, Tensor)}
        found |= {f"generator.{name}": g.state.data for name, g in self.generators.items()}
        return found
