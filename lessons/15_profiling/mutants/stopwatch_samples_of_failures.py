"""Stopwatch.time leaves a sample of a call that raised."""


class Stopwatch:
    def time(self, call):
        cpu = self.cpu_clock()
        start = self.wall_clock()
        try:
            return call()
        finally:
            end = self.wall_clock()
            self.cpu.append((self.cpu_clock() - cpu) * NS)
            self.samples.append((end - start) * NS)
