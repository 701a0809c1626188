"""Data sets, loaders and transforms (lesson 10)."""

from tinytorch.data.corpus import RandomWindows, TextCorpus, TextWindows
from tinytorch.data.dataset import Dataset, Subset, TensorDataset, collate, random_split
from tinytorch.data.images import ImageSet
from tinytorch.data.loader import DataLoader
from tinytorch.data.registry import data_folder, get, info, load, locate, names
from tinytorch.data.sets.base import Info
from tinytorch.data.sets.pydocs import baselines
from tinytorch.data.transforms import compose, normalize, random_crop, random_flip

__all__ = [
    "DataLoader",
    "Dataset",
    "ImageSet",
    "Info",
    "RandomWindows",
    "Subset",
    "TensorDataset",
    "TextCorpus",
    "TextWindows",
    "baselines",
    "collate",
    "compose",
    "data_folder",
    "get",
    "info",
    "load",
    "locate",
    "names",
    "normalize",
    "random_crop",
    "random_flip",
    "random_split",
]
