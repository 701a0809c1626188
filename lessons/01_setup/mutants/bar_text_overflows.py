"""bar_text grows beyond its columns where more is done than was announced."""


def bar_text(part, columns, strokes):
    full = round(part * columns)
    return strokes[:1] * full + strokes[1:] * (columns - full)
