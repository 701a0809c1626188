"""pydocs: the text sources of the CPython 3.11 documentation, embedded, split by file."""

import json
from typing import Any

from tinytorch.data.corpus import TextCorpus
from tinytorch.data.embedded import read_checked, read_embedded
from tinytorch.data.sets.base import EmbeddedSet, Info


def read(split: str) -> TextCorpus:
    """Return a split: its files by name, and their text."""
    prefix = f"{split}/"
    members = read_embedded("pydocs").items()
    return TextCorpus(
        "pydocs",
        split,
        {name.removeprefix(prefix): text for name, text in members if name.startswith(prefix)},
    )


def baselines() -> dict[str, Any]:
    """Return what n-grams and xz reach, in bits per byte, with the command that measured it.

    >>> baselines()["test"]["5-gram"] < baselines()["test"]["3-gram"]
    True
    """
    report: dict[str, Any] = json.loads(read_checked("pydocs_baselines.json"))
    return report


SET = EmbeddedSet(
    Info(
        name="pydocs",
        title="CPython 3.11 documentation, text",
        kind="text",
        licence="PSF License Version 2; examples also Zero-Clause BSD",
        source="Python Software Foundation: the documentation of Python 3.11, as packaged by Debian",
        splits={"train": 9_864_019, "validation": 551_431, "test": 552_422},
    ),
    read,
)
