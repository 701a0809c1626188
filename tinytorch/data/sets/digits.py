"""digits: 1,797 real handwritten digits of 8x8 pixels, embedded."""

from tinytorch.data.images import ImageSet
from tinytorch.data.sets.base import DIGITS, EmbeddedSet, Info, embedded_images

WHITE = 16  # a pixel counts the inked ones of a 4x4 block


def read(split: str) -> ImageSet:
    """Return a split; images (count, 1, 8, 8)."""
    return embedded_images("digits", split, DIGITS, WHITE)


SET = EmbeddedSet(
    Info(
        name="digits",
        title="Handwritten digits, 8x8",
        kind="images",
        licence="CC BY 4.0",
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI repository, 1998",
        splits={"train": 1197, "validation": 200, "test": 400},
        classes=DIGITS,
    ),
    read,
)
