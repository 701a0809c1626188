"""Adam.start gives both means the same memory."""


class Adam:
    def start(self, parameter, group):
        mean = zeros_like(parameter)
        return {"exp_avg": mean, "exp_avg_sq": mean, "step": zeros((), dtype=int64)}
