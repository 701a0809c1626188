"""Module.load_state_dict gives up after three problems."""


class Module:
    def load_state_dict(self, state_dict, strict=True):
        own = dict(self._tensors("parameter", "buffer"))
        given = {id(own[name]) for name in state_dict if name in own}
        problems = []
        if strict:
            problems += [f"missing {name}" for name, tensor in own.items() if id(tensor) not in given]
            problems += [f"unexpected {name}" for name in state_dict if name not in own]
        values = {}
        for name in own.keys() & state_dict.keys():
            try:
                _stage(values, own[name], state_dict[name])
            except TinyTorchError as error:
                problems.append(f"{name}: {error}")
                if len(problems) >= 3:
                    break
        if problems:
            raise _misfit(self, problems)
        for target, value in values.items():
            target.assign_(value)
