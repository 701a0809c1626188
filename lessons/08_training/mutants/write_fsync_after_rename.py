"""write_whole calls fsync after the file has got its final name."""


def write_whole(path, content):
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
            part.replace(path)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
