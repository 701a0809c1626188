"""sections makes a section of every name."""


def sections(tensors):
    found = {name: {} for name in SECTIONS}
    for key, array in tensors.items():
        section, _, name = key.partition(".")
        found.setdefault(section, {})[name] = array
    return found
