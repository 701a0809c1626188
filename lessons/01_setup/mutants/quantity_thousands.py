"""quantity takes a KiB for 1000 bytes."""


def quantity(amount, unit):
    if unit == "B":
        power = 0
        while amount >= 1000 and power < 3:
            amount, power = amount / 1000, power + 1
        return f"{amount:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    return f"{amount:,.0f} {unit}" if amount >= 10 or amount == int(amount) else f"{amount:.2g} {unit}"
