"""duration counts minutes on beyond the hour."""


def duration(seconds):
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
