"""bar_text rounds down, so that a bar is full only at the very end and others are a column short."""


def bar_text(part, columns, strokes):
    full = int(min(max(part, 0.0), 1.0) * columns)
    return strokes[:1] * full + strokes[1:] * (columns - full)
