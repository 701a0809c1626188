"""Draw cost.svg (work by length), pages.svg (who shares what), window.svg and speculative.svg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from tinytorch.caching.kv_cache import KVCache
from tinytorch.learn.drawing import save_svg
from tinytorch.ops.paged import PagedAttention

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent
ONE, OTHER, BOTH, NONE = "tab:blue", "tab:orange", "tab:green", "#dde6f2"
WEIGHTS, LAYERS, WIDTH = 134_479_872, 30, 576  # SmolLM2-135M; all but the norms, head tied


def cost() -> None:
    """FLOPs of the next token and of a whole text, without a cache and with one."""
    n = np.arange(1, 4097)
    cached = 2.0 * WEIGHTS + 4.0 * LAYERS * WIDTH * n
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), sharey=True)
    for ax, without, with_one, title in (
        (axes[0], n * cached, cached, "the next token"),
        (axes[1], np.cumsum(n * cached), np.cumsum(cached), "a whole text"),
    ):
        ax.loglog(n, without, color=OTHER, label="without a cache")
        ax.loglog(n, with_one, color=ONE, label="with one")
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("tokens so far")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("FLOPs, SmolLM2-135M")
    axes[0].legend(fontsize=8, frameon=False)
    save_svg(figure, HERE / "cost.svg")


def box(ax: Any, x: float, y: float, text: str, color: str, wide: float = 0.92) -> None:
    """A cell with its lower left corner at x, y."""
    ax.add_patch(mpl.patches.Rectangle((x, y), wide, 0.8, facecolor=color))
    ax.text(x + wide / 2, y + 0.38, text, ha="center", va="center", fontsize=8)


def row(ax: Any, y: float, name: str, cache: KVCache, colors: dict[int, str]) -> None:
    """The row of the table of a cache."""
    ax.text(-0.2, y + 0.4, name, ha="right", va="center", fontsize=8)
    for slot, number in enumerate(cache.table[0, : -(-cache.length // cache.page)].tolist()):
        box(ax, slot, y, str(number), colors[number])


def pages() -> None:
    """Two texts that begin alike, before and after one of them goes on."""
    cache = KVCache(1, 1, 2, 24, page=4)
    cache.reserve(10)
    cache.advance(10)
    twin = cache.fork()
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.1))
    for ax, title, more in zip(axes, ("all pages are shared", "one token more"), (0, 1), strict=True):
        if more:
            twin.reserve(more)
            twin.advance(more)
        users = cache.pool.users.tolist()
        mine, theirs = set(cache._rows[0]), set(twin._rows[0])
        colors = {p: BOTH if p in mine & theirs else ONE if p in mine else OTHER for p in mine | theirs}
        row(ax, 3.2, "table of the first", cache, colors)
        row(ax, 2.2, "table of the second", twin, colors)
        ax.text(-0.2, 0.8, "pages of the pool", ha="right", va="center", fontsize=8)
        ax.text(-0.2, 0.1, "users", ha="right", va="center", fontsize=8)
        for number in range(6):
            box(ax, number, 0.4, str(number), colors.get(number, NONE))
            ax.text(number + 0.46, 0.1, str(users[number]), ha="center", va="center", fontsize=8)
        ax.set_title(title, fontsize=9)
        ax.set_xlim(-3.8, 6)
        ax.set_ylim(-0.2, 4.1)
        ax.axis("off")
    save_svg(figure, HERE / "pages.svg")


def window() -> None:
    """Who sees whom: all before, a window, a window and sinks; and where pages of four begin."""
    positions = np.arange(16)
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.9), sharey=True)
    for ax, (length, sinks), title in zip(
        axes, ((0, 0), (5, 0), (5, 2)), ("all before", "a window of 5", "and 2 sinks"), strict=True
    ):
        seen = PagedAttention(sinks, 1.0, length).visible_keys(positions, positions)
        ax.imshow(seen, cmap=mpl.colors.ListedColormap([NONE, ONE]))
        for border in (3.5, 7.5, 11.5):
            ax.axvline(border, color="white", linewidth=1.5)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("position of the key")
        ax.set_xticks([0, 4, 8, 12])
        ax.set_yticks([0, 4, 8, 12, 15])
    axes[0].set_ylabel("position of the query")
    save_svg(figure, HERE / "window.svg")


def speculative() -> None:
    """What a draft and a model say, what stays, and what replaces the rest."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    stays, rest = np.minimum(p, q), np.maximum(p - q, 0)
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.4), sharey=True)
    names, places = ["a", "b", "c"], np.arange(3)
    axes[0].bar(places - 0.2, q, 0.4, color=OTHER, label="q, the draft")
    axes[0].bar(places + 0.2, p, 0.4, color=ONE, label="p, the model")
    axes[0].legend(fontsize=8, frameon=False, loc="upper center")
    axes[1].bar(places, stays, 0.6, color=BOTH)
    axes[1].bar(places, q - stays, 0.6, bottom=stays, color=NONE)
    axes[2].bar(places, stays, 0.6, color=BOTH)
    axes[2].bar(places, rest, 0.6, bottom=stays, color=ONE)
    titles = ("what both say", "proposed: what stays, what goes", "and what comes in its place: p")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_xticks(places, names)
        ax.set_ylim(0, 0.75)
        ax.set_title(title, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    save_svg(figure, HERE / "speculative.svg")


if __name__ == "__main__":
    cost()
    pages()
    window()
    speculative()
