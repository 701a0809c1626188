"""Module.load_state_dict replaces the parameters by other tensors."""


class Module:
    def load_state_dict(self, state_dict, strict=True):
        for prefix, module in self._walk():
            for name in list(module._roles):
                full = _join(prefix, name)
                if full in state_dict:
                    module.__dict__[name] = lift(state_dict[full])
