"""Draws the picture of this lesson: python draw.py writes memory.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tinytorch.console import quantity
from tinytorch.learn.drawing import save_svg
from tinytorch.ops.spec import Spec, float16, float32, int8

HERE = Path(__file__).resolve().parent
WEIGHTS = 124_439_808  # of GPT-2 small

bars = [
    ("weights, int8", Spec((WEIGHTS,), int8).nbytes),
    ("weights, float16", Spec((WEIGHTS,), float16).nbytes),
    ("weights, float32", Spec((WEIGHTS,), float32).nbytes),
    ("weights and gradients", Spec((2, WEIGHTS), float32).nbytes),
    ("with Adam's two averages", Spec((4, WEIGHTS), float32).nbytes),
]
figure, axes = plt.subplots(figsize=(7, 2.6))
names, sizes = zip(*bars, strict=True)
axes.barh(names, [size / 2**20 for size in sizes], color="#7fa8d1")
for place, size in enumerate(sizes):
    axes.text(size / 2**20 + 20, place, quantity(size, "B"), va="center", fontsize=9)
axes.set(xlabel="MiB", xlim=(0, 2300), title="GPT-2 small: 124 million weights")
axes.invert_yaxis()
save_svg(figure, HERE / "memory.svg")
