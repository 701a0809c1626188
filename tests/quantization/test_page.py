"""docs/quantization.md: its listing is what its snippet prints today, and no scheme is missing from it."""

from __future__ import annotations

from pathlib import Path

from tinytorch.quantization import SCHEMES
from tinytorch.quantization.ranges import RANGES
from tools.listings import rewritten

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quantization.md"


def test_every_listing_is_what_its_snippet_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rewritten(text, PAGE.name) == text, "python tools/listings.py docs/quantization.md writes it anew"


def test_schemes_and_ranges_are_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(SCHEMES) - {"int8-dynamic", "int8-static"}  # rows of the table say dynamic and static
    assert all(f"`{name}`" in text for name in (*named, *RANGES))
