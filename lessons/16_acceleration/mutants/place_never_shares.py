"""place_buffers keeps clear of all buffers, those of other times too."""


def place_buffers(lives):
    offsets, placed, total = [0] * len(lives), [], 0
    for number in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first)):
        size = rounded(lives[number].nbytes)
        taken = sorted((offsets[i], offsets[i] + rounded(lives[i].nbytes)) for i in placed)
        offsets[number] = best_gap(taken, size)
        placed.append(number)
        total = max(total, offsets[number] + size)
    return offsets, total
