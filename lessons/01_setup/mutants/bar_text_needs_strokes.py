"""bar_text fails where no strokes are given."""


def bar_text(part, columns, strokes):
    full = round(min(max(part, 0.0), 1.0) * columns)
    return strokes[0] * full + strokes[1] * (columns - full)
