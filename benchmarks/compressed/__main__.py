"""`python -m benchmarks.compressed`: what compressing loses, saves and gains; `--only PART` for one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.compiled.tables import judged, span
from benchmarks.compressed import distilled, eight, halves, minilm, oneshot, pipeline, products, pruning
from benchmarks.parts import run_parts
from tinytorch import console
from tinytorch.profiling.statistics import Estimate


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parts: dict[str, Callable[[int], None]] = {
        "products": _products,
        "halves": _halves,
        "pruning": _pruning,
        "oneshot": _oneshot,
        "pipeline": _pipeline,
        "distilled": _distilled,
        "eight": _eight,
        "minilm": _minilm,
    }
    run_parts("benchmarks.compressed", __doc__, parts, arguments)


def points(lost: Estimate) -> str:
    """A share in points of a hundred, with its interval."""
    if lost.low is None or lost.high is None:
        return f"{100 * lost.value:+.2f}"
    return f"{100 * lost.value:+.2f} [{100 * lost.low:+.2f}, {100 * lost.high:+.2f}]"


def _yes(held: bool) -> str:
    return "yes" if held else "NO"


def _products(rounds: int) -> None:
    rows = []
    for case in products.CASES:
        found = products.measure(case, rounds)
        rows.append([case.name, span(found.ours), span(found.peer), *judged(found, case.must, None)])
    title = f"Sparse products: NumPy's dense float32 time / ours, 1 thread ({rounds} rounds)"
    console.table(title, ["product", "ours", "NumPy", "ratio [95 %]", "must", "aim", "reached"], rows)
    for found in products.crossings(rounds):
        console.say(f"\n{found}")


def _halves(rounds: int) -> None:
    rows = []
    for line in halves.lines(rounds):
        before, after = line.parameters
        row = [line.name, f"{before / after:.2f}x", points(line.lost), _yes(line.lost.value <= halves.MUST)]
        for size, ratio in line.speed.items():
            found = f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
            rows.append([*row, f"b{size}", found, f">= {halves.FASTER}", _yes(ratio.ratio >= halves.FASTER)])
            row = [""] * 4
    title = "Half of all filters and neurons: points lost on fashion-full's test data, time before / after"
    columns = ["model", "parameters", "lost [95 %]", "<= 1", "batch", "faster [95 %]", "must", "reached"]
    console.table(title, columns, rows)


def _pruning(rounds: int) -> None:
    rows = []
    for line in pruning.lines():
        mean = line.lost.value <= line.must
        upper = line.level != 0.7 or (line.lost.high is not None and line.lost.high <= pruning.UPPER)
        must = f"<= {100 * line.must:g}" + (", upper end <= 0.5" if line.level == 0.7 else "")
        rows.append(
            [
                line.name,
                f"{line.level:.0%}",
                f"{line.before:.4f}",
                f"{line.after:.4f}",
                points(line.lost),
                must,
                _yes(mean and upper),
            ]
        )
    title = "Unstructured, fine-tuned: points lost on fashion-full's test data, mean of 3 seeds"
    console.table(title, ["model", "zeros", "before", "after", "lost [95 %]", "must", "reached"], rows)


def _oneshot(rounds: int) -> None:
    rows = []
    for line in (oneshot.gpt(), oneshot.minilm()):
        low = line.better.low
        plain = ", ".join(f"{value:.4f} by {scope}" for scope, value in line.magnitude.items())
        better = f"{line.better.value:.4f} [{low:.4f}, {line.better.high:.4f}]"
        reached = _yes(low is not None and low > 0)
        rows.append(
            [line.name, line.figure, f"{line.before:.4f}", plain, f"{line.wanda:.4f}", better, reached]
        )
    title = "50 % zeros, not trained: Wanda (3 seeds of calibration) beside the better way by magnitude"
    columns = ["model", "figure", "before", "magnitude", "Wanda", "better by [95 %]", "above 0"]
    console.table(title, columns, rows)


def _pipeline(rounds: int) -> None:
    rows = []
    for line in pipeline.lines():
        case, seeds = line.case, ", ".join(f"{run.ratio:.1f}x" for run in line.runs)
        error = sum(100 * (1 - run.after) for run in line.runs) / len(line.runs)
        must = f">= {case.ratio:g}x, <= {100 * case.lost:g}"
        aim = "" if case.aim is None else f"{case.aim:g}x"
        reached = line.ratio >= case.ratio and line.lost.value <= case.lost
        word = _yes(reached) + (", aim" if reached and case.aim and line.ratio >= case.aim else "")
        zeros = ", ".join(f"{run.zeros:.1%}" for run in line.runs)
        rows.append(
            [case.name, case.data, seeds, zeros, f"{error:.2f} %", points(line.lost), must, aim, word]
        )
    title = "The whole pipeline: the file against float32 weights, error and points lost on test data"
    columns = ["model", "data", "smaller", "zeros", "error", "lost [95 %]", "must", "aim", "reached"]
    console.table(title, columns, rows)


def _distilled(rounds: int) -> None:
    rows = []
    for line in distilled.lines():
        figures = [f"{value:.4f}" for value in (line.teacher, line.alone, line.taught)]
        reached = _yes(line.gain.value >= line.must)
        rows.append([line.case.name, f"{line.smaller:.1f}x", *figures, points(line.gain), "0.5", reached])
    title = "A student with a tenth of the parameters: test accuracy, alone and taught, mean of 3 seeds"
    columns = ["labels", "smaller", "teacher", "alone", "taught", "gain [95 %]", "must", "reached"]
    console.table(title, columns, rows)


def _eight(rounds: int) -> None:
    rows = []
    for line in eight.lines():
        held = line.ratio >= eight.RATIO and line.lost.value <= eight.MUST
        reached = _yes(held) if "zeros" in line.way else ""
        rows.append([line.name, line.way, f"{line.ratio:.2f}x", points(line.lost), reached])
    title = f"INT8, {eight.RATIO:g}x smaller at less than 1 point: this lesson's way beside the last one's"
    console.table(title, ["model", "way", "file, least of 3 seeds", "lost [95 %]", "reached"], rows)


def _minilm(rounds: int) -> None:
    rows = [
        [
            line.name,
            f"{line.cosine:.4f}",
            f"{line.lost:.4f}",
            f"{line.file:.2f}x",
            f"{line.parameters:.2f}x",
            line.faster,
        ]
        for line in minilm.lines()
    ]
    title = "all-MiniLM-L6-v2 by each technique, nothing trained: embeddings, and 1,000 pairs of sentences"
    columns = ["technique", "cosine", "correlation lost", "file", "parameters", "faster [95 %]"]
    console.table(title, columns, rows)
    for sparsity in (0.5, 0.9):
        console.say(f"\nsparsify, {sparsity:.0%} of zeros in each layer\n{minilm.sparse_rows(sparsity)}")


if __name__ == "__main__":
    main()
