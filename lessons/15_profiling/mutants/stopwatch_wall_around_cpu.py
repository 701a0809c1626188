"""Stopwatch.time reads the CPU clock inside of the wall's span, so that each sample is longer."""


class Stopwatch:
    def time(self, call):
        start = self.wall_clock()
        cpu = self.cpu_clock()
        result = call()
        self.cpu.append((self.cpu_clock() - cpu) * NS)
        self.samples.append((self.wall_clock() - start) * NS)
        return result
