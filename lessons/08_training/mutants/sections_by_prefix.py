"""sections takes every name that begins like a section."""


def sections(tensors):
    found = {name: {} for name in SECTIONS}
    for key, array in tensors.items():
        for section in SECTIONS:
            if key.startswith(section):
                found[section][key[len(section) + 1 :]] = array
                break
        else:
            raise CheckpointError(f"unexpected entry {key}")
    return found
