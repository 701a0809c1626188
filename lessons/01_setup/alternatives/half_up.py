"""Quantities from the largest unit down, with halves rounded up."""

import math


def quantity(amount, unit):
    if unit == "B":
        for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
            if amount >= 1024**power:
                return f"{amount / 1024**power:.1f} {name}"
        return f"{math.floor(amount + 0.5)} B"
    if amount >= 10 or amount == int(amount):
        return f"{math.floor(amount + 0.5):,} {unit}"
    return f"{float(f'{amount:.1e}'):g} {unit}"
