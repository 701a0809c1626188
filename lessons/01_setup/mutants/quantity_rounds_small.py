"""quantity rounds small amounts to whole numbers."""


def quantity(amount, unit):
    if unit == "B":
        power = 0
        while amount >= 1024 and power < 3:
            amount, power = amount / 1024, power + 1
        return f"{amount:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    return f"{amount:,.0f} {unit}"
