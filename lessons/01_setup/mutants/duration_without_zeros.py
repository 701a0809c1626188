"""duration does not pad seconds with a zero."""


def duration(seconds):
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes}:{rest}" if hours else f"{minutes}:{rest}"
