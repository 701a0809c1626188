"""Stopwatch.time keeps nanoseconds where seconds are promised."""


class Stopwatch:
    def time(self, call):
        cpu = self.cpu_clock()
        start = self.wall_clock()
        result = call()
        end = self.wall_clock()
        self.cpu.append(self.cpu_clock() - cpu)
        self.samples.append(end - start)
        return result
