"""blocked leaves the whole product to NumPy."""


def blocked(a, b, tile=TILE):
    return a @ b
