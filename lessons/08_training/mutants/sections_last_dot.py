"""sections cuts names at their last dot."""


def sections(tensors):
    found = {name: {} for name in SECTIONS}
    for key, array in tensors.items():
        section, _, name = key.rpartition(".")
        if section not in found:
            raise CheckpointError(f"unexpected entry {key}")
        found[section][name] = array
    return found
