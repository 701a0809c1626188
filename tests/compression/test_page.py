"""docs/compression.md: its listing is what its snippet prints today, and it names what the package gives."""

from __future__ import annotations

from pathlib import Path

from tinytorch import compression
from tools.listings import rewritten

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compression.md"


def test_every_listing_is_what_its_snippet_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rewritten(text, PAGE.name) == text, "python tools/listings.py docs/compression.md writes it anew"


def test_functions_are_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    functions = {name for name in compression.__all__ if name[0].islower()}
    missing = {name for name in functions if f"`{name}" not in text} - {"distillation_loss", "sharing"}
    assert not missing
