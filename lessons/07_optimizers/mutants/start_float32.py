"""Adam.start makes float32 state whatever the parameter is."""


class Adam:
    def start(self, parameter, group):
        return {
            "exp_avg": zeros(parameter.shape),
            "exp_avg_sq": zeros(parameter.shape),
            "step": zeros((), dtype=int64),
        }
