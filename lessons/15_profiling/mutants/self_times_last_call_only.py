"""Pass.self_times keeps only the last of several calls of the same op."""


class Pass:
    def self_times(self):
        whole, kernels = {}, {}
        free = self.start
        for record in self.records:
            key = Key(record.path, record.op.name, record.backward)
            whole[key] = (record.seen - free) * NS
            kernels[key] = (record.end - record.start) * NS
            free = record.done
        whole[Key("", "", False)] = (self.end - free) * NS
        return whole, kernels
