"""quantity runs out of units for very large amounts."""


def quantity(amount, unit):
    if unit == "B":
        power = 0
        while amount >= 1024:
            amount, power = amount / 1024, power + 1
        return f"{amount:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    return f"{amount:,.0f} {unit}" if amount >= 10 or amount == int(amount) else f"{amount:.2g} {unit}"
