"""Text as numbers: characters, or byte pairs merged by frequency (lesson 11)."""

from tinytorch.text.bpe import BPETokenizer
from tinytorch.text.char import CharTokenizer

__all__ = ["BPETokenizer", "CharTokenizer"]
