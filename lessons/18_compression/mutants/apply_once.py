"""Masks.apply works the first time only: the optimizer's next step brings the weights back."""


class Masks:
    def apply(self):
        if "done" in self.__dict__:
            return
        self.done = True
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(mask, weight, 0.0))
