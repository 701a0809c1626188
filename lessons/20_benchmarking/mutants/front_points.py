"""front gives the points."""


def front(points):
    return tuple(
        point
        for number, point in enumerate(points)
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points
        )
    )
