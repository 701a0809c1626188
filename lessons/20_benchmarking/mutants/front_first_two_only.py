"""front looks at the first two coordinates."""


def front(points):
    return tuple(
        number
        for number, point in enumerate(points)
        if not any(
            other != point and all(a <= b for a, b in zip(other[:2], point[:2], strict=True))
            for other in points
        )
    )
