"""Stopwatch.time forgets what the call returned."""


class Stopwatch:
    def time(self, call):
        cpu = self.cpu_clock()
        start = self.wall_clock()
        call()
        end = self.wall_clock()
        self.cpu.append((self.cpu_clock() - cpu) * NS)
        self.samples.append((end - start) * NS)
