"""Pass.self_times drops what comes after the last op."""


class Pass:
    def self_times(self):
        whole, kernels = defaultdict(int), defaultdict(int)
        free = self.start
        for record in self.records:
            key = Key(record.path, record.op.name, record.backward)
            whole[key] += record.seen - free
            kernels[key] += record.end - record.start
            free = record.done
        return {k: ns * NS for k, ns in whole.items()}, {k: ns * NS for k, ns in kernels.items()}
