"""`python -m benchmarks.cached`: what a cache saves, a real model beside llama.cpp; `--only PART` for one."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.cached import drafted, perplexity, process, smollm2, tools, writing
from benchmarks.compiled.tables import judged
from benchmarks.interleave import Ratio, ratio_of
from benchmarks.parts import run_parts
from tinytorch import console
from tinytorch.models.fetch import SMOLLM2
from tinytorch.profiling import words

COLUMNS = ["what", "ours", "beside", "ratio [95 %]", "must", "aim", "reached"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parts: dict[str, Callable[[int], None]] = {
        "gpt": _gpt,
        "smollm2": _smollm2,
        "threads": _threads,
        "process": _process,
        "draft": _draft,
        "tools": _tools,
    }
    run_parts("benchmarks.cached", __doc__, parts, arguments)


def _gpt(rounds: int) -> None:
    found = writing.measure(rounds)
    rows = [
        ["without a cache", *_times(found.without), *judged(found.without, 10.0, None)],
        ["PyTorch, its own cache, eager", *_times(found.torch), *judged(found.torch, 2.0, None)],
    ]
    title = f"GPT, 4 layers of 128: {writing.NEW} tokens behind {writing.CONTEXT}; the other's time / ours"
    console.table(title, COLUMNS, rows)
    same = " and ".join("the same text" if same else "another text" for same in found.same)
    console.say(f"{same}; exponent of time per token with a cache must be <= 1.1\n\n{found.analysis}\n")


def _smollm2(rounds: int) -> None:
    _beside(rounds, 1, judge=True)
    ours, same, fastest = perplexity.measure()
    console.say(f"perplexity of ours: {ours.value:.3f}")
    for one, must in ((same, " (must be within 0.5 %)"), (fastest, "")):
        apart = f"{one.above.value:+.4f} nats a token [{one.above.low:+.4f}, {one.above.high:+.4f}]"
        console.say(f"{one.name}: {one.value:.3f}, {apart} above ours{must}")


def _threads(rounds: int) -> None:
    _beside(max(3, rounds // 4), 2, judge=False)


_MUST = {"decode": (2.0, 2.5, 1.3, 1.7), "prefill": (4.0, 6.0, 1.5, 2.5), "long": (None, None, 2.0, 3.0)}
_NAMES = {
    "decode": f"decode behind {smollm2.SHORT} tokens",
    "prefill": f"prefill of {smollm2.PREFILL}",
    "long": f"decode behind {smollm2.LONG:,}",
}


def _beside(rounds: int, threads: int, judge: bool) -> None:
    found, rows = smollm2.measure(rounds, threads), []
    for what, (must, aim, must_best, aim_best) in _MUST.items():
        ours = getattr(found.ours, what)
        for peer, floor, high in (
            (found.same_file(what), must, aim),
            (found.best(what), must_best, aim_best),
        ):
            ratio = _rates(ours, getattr(peer, what))
            figures = judged(ratio, floor if judge else None, high if judge else None)
            rows.append(
                [_NAMES[what], f"{1 / ratio.ours:.1f}/s", f"{peer.name} {1 / ratio.peer:.1f}/s", *figures]
            )
    several = f"{threads} thread{'s' * (threads > 1)}"
    console.table(f"SmolLM2-135M, tokens/s beside llama.cpp, {several} ({rounds} rounds)", COLUMNS, rows)
    share = np.array(found.ours.long) / np.array(found.ours.decode)
    low, high = np.quantile(share, [0.25, 0.75])
    must = " (must be >= 0.65)" if judge else ""
    console.say(
        f"share of the speed with an empty cache behind {smollm2.LONG:,}: {np.median(share):.2f} "
        f"[quartiles {low:.2f}, {high:.2f}]{must}"
    )
    for rates in (found.ours, *found.q4_1, *found.q4_0):
        medians = ", ".join(f"{_NAMES[w]} {np.median(getattr(rates, w)):.1f}" for w in _MUST)
        console.say(f"  {rates.name}: {medians}")


def _rates(ours: Sequence[float], peer: Sequence[float]) -> Ratio:
    """Rates as seconds a token, whose ratio is that of the rates."""
    return ratio_of(1 / np.array(ours), 1 / np.array(peer))


def _process(rounds: int) -> None:
    memory = process.memory()
    console.say(
        f"resident: {words.size(memory.empty)} with the runtime, {words.size(memory.loaded)} with SmolLM2 and"
        f" {process.POSITIONS:,} tokens, of which the cache is {words.size(memory.cache)}: "
        f"{memory.share:.2f} times the file of {words.size(SMOLLM2.size)} (must be <= 1.3)"
    )
    found = process.first_token()
    console.say(
        f"tito generate to its first token: {statistics.median(found):.2f} s, slowest of {len(found)} "
        f"{max(found):.2f} s (must be <= 2 s)"
    )


def _draft(rounds: int) -> None:
    found = drafted.measure(rounds)
    rows = [[one.draft, *_times(one.ratio), *judged(one.ratio, 1.3, None)] for one in found]
    console.table("Speculative decoding, the GPT that ships: plain time / drafted time", COLUMNS, rows)
    for one in found:
        same = "the same texts" if one.same else "OTHER TEXTS"
        console.say(f"{one.draft}: {same}; {100 * one.accepted:.0f} % of the draft's tokens stayed")


def _tools(rounds: int) -> None:
    rows = [
        [line.name, "-" if line.loss is None else f"{line.loss:.3f}", line.says]
        for line in tools.lines(max(5, rounds // 6))
    ]
    title = "SmolLM2-135M in float32: nats a token of test text, and time before / after"
    console.table(title, ["tool", "loss", "it says"], rows)


def _times(found: Ratio) -> list[str]:
    return [words.seconds(found.ours), words.seconds(found.peer)]


if __name__ == "__main__":
    main()
