"""race reports the queries of the last round."""


def race(first, second, rounds, part, process, swap=False):
    count = burst_size([first, second])
    for lane in (first, second, second, first):
        lane.burst(count)
    for number in range(rounds):
        one, other = (second, first) if (number % 2) ^ swap else (first, second)
        times = {id(one): [], id(other): []}
        for lane in (one, other, other, one):
            times[id(lane)] += lane.burst(count)
        for lane in (first, second):
            lane.rounds.append(float(np.median(times[id(lane)])) * 1e-9)
            lane.queries[:] = times[id(lane)]
    times_of = (tuple(first.rounds), tuple(second.rounds), _some(first.queries), _some(second.queries))
    return Rounds(part, process, *times_of)
