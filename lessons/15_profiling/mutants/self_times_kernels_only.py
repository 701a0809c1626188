"""Pass.self_times leaves the Python between kernels to nobody."""


class Pass:
    def self_times(self):
        kernels = defaultdict(int)
        for record in self.records:
            kernels[Key(record.path, record.op.name, record.backward)] += record.end - record.start
        kernels[Key("", "", False)] += 0
        found = {k: ns * NS for k, ns in kernels.items()}
        return found, dict(found)
