"""fashion: a balanced part of Fashion-MNIST, embedded."""

from tinytorch.data.images import ImageSet
from tinytorch.data.sets.base import EmbeddedSet, Info, embedded_images

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read(split: str) -> ImageSet:
    """Return a split; images (count, 1, 28, 28)."""
    return embedded_images("fashion", split, CLASSES)


SET = EmbeddedSet(
    Info(
        name="fashion",
        title="Fashion-MNIST, 10,000 for training",
        kind="images",
        licence="MIT",
        source="Zalando Research: Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, 2017)",
        splits={"train": 10_000, "validation": 2_000, "test": 10_000},
        classes=CLASSES,
    ),
    read,
)
