"""ranks has what scores below forget what was told."""


def ranks(order, apart):
    place = {entry: number for number, entry in enumerate(order)}
    behind = {}
    for better, worse in apart:
        if better in place and worse in place and place[better] < place[worse]:
            behind[place[worse]] = max(behind.get(place[worse], 0), place[better] + 1)
    found, above = [], 0
    for number in range(len(order)):
        above = behind.get(number, 0)
        found.append(above + 1)
    return found
