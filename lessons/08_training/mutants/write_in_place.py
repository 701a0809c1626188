"""write_whole overwrites the file itself."""


def write_whole(path, content):
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
