"""`python -m benchmarks.quantized`: what models on codes lose, weigh and gain; `--only PART` for one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.compiled.tables import judged, span
from benchmarks.parts import run_parts
from benchmarks.quantized import accuracy, products, sentences, sizes, speed
from tinytorch import console

RESIDENT, FILE = 3.9, 8.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parts: dict[str, Callable[[int], None]] = {
        "products": _products,
        "speed": _speed,
        "accuracy": _accuracy,
        "sizes": _sizes,
        "minilm": _minilm,
    }
    torch.set_num_threads(1)
    run_parts("benchmarks.quantized", __doc__, parts, arguments)


def _products(rounds: int) -> None:
    rows = []
    for case in products.CASES:
        found = products.measure(case, rounds)
        rows.append([case.name, span(found.ours), span(found.peer), *judged(found, case.must, case.aim)])
    title = f"INT8 with quantize and dequantize: NumPy's float32 time / ours, 1 thread ({rounds} rounds)"
    console.table(title, ["product", "ours", "NumPy", "ratio [95 %]", "must", "aim", "reached"], rows)


def _speed(rounds: int) -> None:
    rows = []
    for case in speed.CASES:
        found = speed.measure(case, rounds)
        head = [f"{case.name} b{case.batch}", span(found.seconds)]
        for peer, ratio in found.ratios.items():
            how = f" ({found.how[peer]})" if peer in found.how else ""
            held = judged(ratio, case.must.get(peer), case.aim.get(peer))
            rows.append([*head, f"{peer}{how}", span(ratio.peer), *held])
            head = ["", ""]
        rows.append(["", "", f"in float32: {', '.join(found.reverted) or 'no layer'}", *[""] * 5])
    title = f"INT8 models as shipped: the other's time / ours, 1 thread ({rounds} rounds)"
    console.table(
        title, ["model", "ours", "beside", "its time", "ratio [95 %]", "must", "aim", "reached"], rows
    )


def _accuracy(rounds: int) -> None:
    rows = []
    for line in accuracy.lines():
        lost, found = line.found.lost, line.found
        assert lost.low is not None, "there are two samples or more"
        assert lost.high is not None, "there are two samples or more"
        shown = f"{100 * lost.value:+.2f} [{100 * lost.low:+.2f}, {100 * lost.high:+.2f}]"
        held = lost.high if line.how == "trained with it" else lost.value
        must = "" if line.must == float("inf") else f"<= {100 * line.must:g}"
        reached = "" if not must else "yes" if held <= line.must else "NO"
        unit = "%" if found.name == "bits per byte" else "points"
        rows.append(
            [
                line.name,
                line.scheme,
                line.how,
                f"{found.before:.4f}",
                f"{found.after:.4f}",
                f"{shown} {unit}",
                must,
                reached,
            ]
        )
    title = "Lost on test data, paired, with its 95 % interval (of training with it the upper end is held)"
    console.table(title, ["model", "scheme", "how", "before", "after", "lost", "must", "reached"], rows)


def _sizes(rounds: int) -> None:
    rows = []
    for name in ("mlp", "cnn", "gpt"):
        first = None
        for line in sizes.lines(name):
            first = first or line
            kept = (
                "" if line.resident is None else f"{line.resident:,} ({first.resident / line.resident:.2f}x)"
            )
            read = "" if line.read is None else f"{line.read:,}"
            reached = ""
            if line.form.startswith("mixed") and name != "gpt":
                reached = f"file >= {FILE:g}x: {'yes' if line.ratio >= FILE else 'NO'}"
            elif line.form == "int8 program" and name != "gpt":
                assert first.resident is not None, "float32 is measured"
                assert line.resident is not None, "and so are programs"
                held = first.resident / line.resident >= RESIDENT
                reached = f"resident >= {RESIDENT:g}x: {'yes' if held else 'NO'}"
            rows.append([name, line.form, f"{line.file:,}", f"{line.ratio:.2f}x", kept, read, reached])
    title = "Bytes of files, of weights in memory (MemoryProfiler), and read by kernels in a run"
    console.table(title, ["model", "form", "file", "smaller", "resident", "read", "must"], rows)


def _minilm(rounds: int) -> None:
    rows = []
    for scheme in ("int8", "int4-g128"):
        found = sentences.measure(scheme)
        must = ">= 0.99, 0.99" if scheme == "int8" else ""
        reached = "yes" if min(found.cosine, found.correlation) >= 0.99 else "NO"
        rows.append(
            [
                scheme,
                f"{found.cosine:.4f}",
                f"{found.correlation:.4f}",
                f"{found.resident:.2f}x",
                must,
                reached * bool(must),
            ]
        )
    title = f"all-MiniLM-L6-v2: cosine of embeddings, rank correlation over {sentences.PAIRS:,} pairs"
    console.table(title, ["scheme", "cosine", "correlation", "resident, smaller", "must", "reached"], rows)


if __name__ == "__main__":
    main()
