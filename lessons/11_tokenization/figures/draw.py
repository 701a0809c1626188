"""Draw sizes.svg: bytes of text in a token, and size of the embeddings, by size of the vocabulary."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from tinytorch.data import load
from tinytorch.learn.drawing import save_svg
from tinytorch.text import BPETokenizer

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

WIDTH = 128
HERE = Path(__file__).parent


def main() -> None:
    """Train on 300 kB of documentation, measure on 100 kB of other files."""
    train = load("pydocs", "validation").text[:300_000]
    test = load("pydocs", "test").text[:100_000]
    sizes = [256, 512, 1024, 2048, 4096, 8192]
    lengths = [len(BPETokenizer.train(train, size).encode(test)) for size in sizes]
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
    axes[0].semilogx(sizes, [len(test) / n for n in lengths], "o-", base=2)
    axes[0].set_ylabel("bytes in a token, unseen text")
    axes[1].loglog(sizes, [4 * WIDTH * size / 2**20 for size in sizes], "s-", base=2, color="tab:orange")
    axes[1].set_ylabel(f"MiB of embeddings, width {WIDTH}")
    for ax in axes:
        ax.set_xlabel("size of the vocabulary")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
    figure.tight_layout()
    save_svg(figure, HERE / "sizes.svg")


if __name__ == "__main__":
    main()
