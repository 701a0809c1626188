"""front gives them from the smallest on."""


def front(points):
    found = tuple(
        number
        for number, point in enumerate(points)
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points
        )
    )
    return tuple(sorted(found, key=lambda n: points[n]))
