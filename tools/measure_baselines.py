"""Measure what n-grams and xz reach on pydocs, into tinytorch/data/files/pydocs_baselines.json.

Usage: python tools/measure_baselines.py
"""

import json

from packing import FILES, note_checksum

from tinytorch.data.embedded import read_archive
from tinytorch.text.ngram import NGram, xz_bits_per_byte

ORDERS = range(1, 9)


def main() -> None:
    """Train on the training files, score validation and test, write the figures."""
    members = read_archive("pydocs")
    text = {
        split: b"\n".join(members[name] for name in members if name.startswith(split + "/"))
        for split in ("train", "validation", "test")
    }
    figures: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
    for order in ORDERS:
        model = NGram(text["train"], order)
        for split, bits in figures.items():
            bits[f"{order}-gram"] = round(model.bits_per_byte(text[split]), 4)
    for split, bits in figures.items():
        bits["xz"] = round(xz_bits_per_byte(text["train"], text[split]), 4)
        print(split, bits)
    report = {
        "unit": "bits per byte",
        "command": "python tools/measure_baselines.py",
        "model": "n-grams: Witten-Bell down to 1/256; xz: 9e, size of train + split less size of train",
        "train_bytes": len(text["train"]),
        "bytes": {split: len(text[split]) for split in figures},
        **figures,
    }
    path = FILES / "pydocs_baselines.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8", newline="\n")
    note_checksum(path)


if __name__ == "__main__":
    main()
