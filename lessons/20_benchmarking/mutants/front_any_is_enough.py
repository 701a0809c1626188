"""front has a point beaten by what is better in one thing."""


def front(points):
    return tuple(
        number
        for number, point in enumerate(points)
        if not any(
            other != point and any(a <= b for a, b in zip(other, point, strict=True)) for other in points
        )
    )
