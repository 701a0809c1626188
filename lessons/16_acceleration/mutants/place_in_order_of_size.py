"""place_buffers gives the offsets in the order in which buffers were placed."""


def place_buffers(lives):
    offsets, placed, total = [0] * len(lives), [], 0
    for number in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first)):
        size = rounded(lives[number].nbytes)
        taken = sorted(
            (offsets[i], offsets[i] + rounded(lives[i].nbytes))
            for i in placed
            if overlap(lives[i], lives[number])
        )
        offsets[number] = best_gap(taken, size)
        placed.append(number)
        total = max(total, offsets[number] + size)
    return [offsets[i] for i in placed], total
