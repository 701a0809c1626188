"""place_buffers puts every buffer at the beginning."""


def place_buffers(lives):
    return [0] * len(lives), max((rounded(life.nbytes) for life in lives), default=0)
