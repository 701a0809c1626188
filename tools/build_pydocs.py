"""Build tinytorch/data/files/pydocs.tar.xz from the text sources of the CPython 3.11 documentation.

Cleans each file to plain text, removes near-duplicate files and runs of paragraphs, splits by file.
Usage: python tools/build_pydocs.py [FOLDER]   (the default is Debian's python3.11-doc)
"""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from packing import FILES, write_archive

DEBIAN = Path("/usr/share/doc/python3.11/html/_sources")
HELD_OUT = 0.05  # share of the bytes for test, and again for validation
SHINGLE = 8  # words
NEAR_FILE = 0.5  # a file is a near-duplicate when this share of its shingles occurred before
NEAR_PARAGRAPH = 0.8  # the same for one paragraph
SHORTEST_RUN = 300  # bytes: shorter repeats are the habits of the language, not copies

LICENCE_FILE = "license.rst.txt"


def clean(raw: bytes) -> str:
    """Return plain text: UTF-8 in NFC, one kind of line end, no tabs, control or private characters."""
    text = unicodedata.normalize("NFC", raw.decode("utf-8-sig"))
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(8)
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"


def shingles(text: str) -> set[int]:
    """Return hashes of all runs of SHINGLE words (of the whole text if it is shorter)."""
    words = re.findall(r"\w+", text.lower())
    spans = (" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))
    return {
        int.from_bytes(hashlib.blake2b(span.encode(), digest_size=8).digest(), "little") for span in spans
    }


def share_seen(marks: set[int], seen: set[int]) -> float:
    """Return which share of the shingles occurred before."""
    return len(marks & seen) / len(marks)


def runs(flags: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each run of True."""
    start = None
    for i, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = i
        elif not flag and start is not None:
            yield start, i
            start = None


def without_copies(text: str, seen: set[int]) -> str:
    """Return the text without runs of paragraphs that nearly all occurred before."""
    paragraphs = re.split(r"(?<=\n)(?=\n)", text)
    repeated = [share_seen(shingles(p), seen) >= NEAR_PARAGRAPH for p in paragraphs]
    for start, stop in runs(repeated):
        if sum(len(p.encode()) for p in paragraphs[start:stop]) >= SHORTEST_RUN:
            paragraphs[start:stop] = [""] * (stop - start)
    return "".join(paragraphs).strip("\n") + "\n"


def by_hash(name: str) -> str:
    """Order files by the hash of their name: a fixed shuffle that new files do not disturb much."""
    return hashlib.sha256(name.encode()).hexdigest()


def split_by_file(texts: dict[str, str]) -> dict[str, list[str]]:
    """Fill test, then validation, up to HELD_OUT of the bytes each, in hash order; the rest is train."""
    quota = HELD_OUT * sum(len(text.encode()) for text in texts.values())
    splits: dict[str, list[str]] = {"test": [], "validation": [], "train": []}
    filled = {"test": 0.0, "validation": 0.0}
    for name in sorted(texts, key=by_hash):
        size = len(texts[name].encode())
        split = next((s for s in filled if filled[s] + size <= quota), "train")
        if split != "train":
            filled[split] += size
        splits[split].append(name)
    return splits


def deduplicate(texts: dict[str, str], splits: dict[str, list[str]]) -> dict[str, str]:
    """Go through test, validation, train in turn: held-out files stay whole and train loses the copies."""
    seen: set[int] = set()
    kept = {}
    for names in splits.values():
        for name in sorted(names):
            marks = shingles(texts[name])
            if share_seen(marks, seen) < NEAR_FILE:
                kept[name] = without_copies(texts[name], seen)
            else:
                print(f"near-duplicate file left out: {name}")
            seen |= marks
    return kept


def main(folder: Path) -> None:
    """Clean, split, deduplicate, pack, and put the licence text beside the archive."""
    texts = {
        p.relative_to(folder).as_posix().removesuffix(".txt"): clean(p.read_bytes())
        for p in folder.rglob("*.rst.txt")
    }
    splits = split_by_file(texts)
    kept = deduplicate(texts, splits)
    members: dict[str, bytes] = {}
    for split in ("train", "validation", "test"):
        names = [name for name in sorted(splits[split]) if name in kept]
        members |= {f"{split}/{name}": kept[name].encode() for name in names}
        before = sum(len(texts[name].encode()) for name in splits[split])
        after = sum(len(kept[name].encode()) for name in names)
        print(f"{split:<10} {len(names):>4} files {before:>11,} -> {after:>11,} bytes")
    print(f"distinct bytes: {len(set(b''.join(members.values())))}")
    licence = clean((folder / LICENCE_FILE).read_bytes())
    (FILES / "pydocs-LICENCE.txt").write_text(licence, encoding="utf-8", newline="\n")
    path = write_archive("pydocs", members)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN)
