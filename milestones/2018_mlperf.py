"""2018, MLPerf: how fast is a model, said so that a rival has to believe it?

Peter Mattson, Vijay Janapa Reddi and others founded MLPerf in 2018 ("MLPerf training benchmark" and "MLPerf
inference benchmark", both 2019): one task for all, a quality that must be kept, figures that others can
check. Here your tools make the MLP that ships smaller, and it enters against itself: beside a copy, which
must come out the same, and beside cheats. One always gives the same answer, one NaN, one knows the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from matplotlib.figure import Figure

import tinytorch as tt
from tinytorch import console
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.arm import Arm
from tinytorch.benchmarking.events import baseline_graph, canonical, event, program_for
from tinytorch.benchmarking.pareto import front
from tinytorch.benchmarking.race import race
from tinytorch.benchmarking.ranking import ranks, told_apart
from tinytorch.benchmarking.ratio import geometric_mean
from tinytorch.benchmarking.recipe import follow, steps_of
from tinytorch.benchmarking.result import Rounds
from tinytorch.benchmarking.samples import fresh, plain, transformed
from tinytorch.benchmarking.score import knows_by_heart, passes_gate, times_faster, transform_gap
from tinytorch.benchmarking.techniques import found_in
from tinytorch.learn.experiment import run
from tinytorch.profiling.statistics import quantile

LESSON = 20
GOALS = {
    "overall, times the baseline": (">=", 1.5),
    "share of verdicts that are right": (">=", 1.0),
    "a copy's speed, from the baseline's": ("<=", 0.03),
    "runs in which the copy shares its rank": (">=", 0.3),  # chance tells it apart in one of twenty
}

SPRINT, PARTS = event("mlp_sprint"), ("classify", "offline")
STEPS = [
    {"kind": "shrink", "amount": 0.25},
    {"kind": "train", "epochs": 5},
    {"kind": "quantize", "scheme": "int8", "prefer": "size", "max_loss": 0.01},
]
INSTANCES, ROUNDS = 6, 12  # times that all are loaded anew, and rounds of each


@dataclass
class Trained:
    """What one run leaves to look at."""

    rounds: list[Rounds]
    size: dict[str, int]  # bytes of the file
    ranks: dict[str, int]
    accuracy: dict[str, list[float]]  # on images as they are, and changed a little


class ByHeart(tt.nn.Module):
    """A table of answers: the label of an image that it has seen, nothing for any other."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self.seen = tt.Tensor(images.reshape(len(images), -1))
        self.answers = tt.Tensor(np.eye(10, dtype=np.float32)[labels])

    def forward(self, x: tt.Tensor) -> tt.Tensor:
        """Images (n, 1, 28, 28) to answers (n, 10)."""
        x = x.reshape(-1, 784)
        apart = (x * x).sum(1, keepdims=True) - 2 * x @ self.seen.T + (self.seen**2).sum(1)
        return (apart < 0.1).to("float32") @ self.answers


@cache
def programs() -> dict[str, Graph]:
    """The baseline, a copy of it, the entry, and what knows 2,000 test images by heart."""
    base, seen = baseline_graph(SPRINT.name), plain(SPRINT, 2000)
    entry = follow(SPRINT, steps_of(STEPS))
    return {
        "baseline": base,
        "copy": base,
        "entry": entry,
        "by heart": program_for(SPRINT, ByHeart(seen.inputs, seen.labels)),
    }


def raced(seed: int) -> list[Rounds]:
    """The baseline beside each of the others; loaded anew several times, as places in memory matter."""
    found = []
    for number in range(INSTANCES):
        rng, names = np.random.default_rng([seed, number]), ["baseline", "copy", "entry"]
        images = fresh(SPRINT, 512, seed, number).inputs
        arms = {name: Arm(programs()[name], SPRINT) for name in rng.permutation(names).tolist()}
        for arm in arms.values():
            arm.make("batches")
        for name, part in product(names[1:], PARTS):
            lanes = (arms[one].lane(part, images) for one in ("baseline", name))
            found.append(race(*lanes, ROUNDS, f"{name} {part}", number, swap=bool(rng.integers(2))))
    return found


def answered(seed: int) -> dict[str, list[np.ndarray]]:
    """By name, which of 2,000 test images are told right: as they are, and changed by the seed."""
    samples = plain(SPRINT, 2000), transformed(SPRINT, 2000, seed)
    arms = {name: Arm(graph, SPRINT) for name, graph in programs().items()}
    return {n: [(arm.all(s.inputs).argmax(1) == s.labels) * 1.0 for s in samples] for n, arm in arms.items()}


def verdicts(right: dict[str, list[np.ndarray]]) -> list[bool]:
    """Whether your gate, your defence and your detectors say of each what it is."""
    base, graphs = float(right["baseline"][0].mean()), programs()
    gap = {name: transform_gap(SPRINT, tuple(both), tuple(right["baseline"])) for name, both in right.items()}
    found = {
        name: {one.name for one in found_in(graph, graphs["baseline"])} for name, graph in graphs.items()
    }
    return [
        passes_gate(SPRINT, float(right["entry"][0].mean()), base),
        not passes_gate(SPRINT, 0.1, base) and not passes_gate(SPRINT, float("nan"), base),
        knows_by_heart(gap["by heart"]) and not knows_by_heart(gap["entry"]),
        not found["copy"] and found["entry"] == {"integer arithmetic", "smaller shapes"},
    ]


def trial(seed: int) -> tuple[dict[str, float], Trained]:
    """Measure the entry and the copy beside the baseline, judge them and the cheats, and rank them."""
    rounds, right = raced(seed), answered(seed)
    accuracy = {name: [float(one.mean()) for one in both] for name, both in right.items()}
    size = {name: len(canonical(programs()[name])) for name in ("baseline", "entry")}
    score = {n: geometric_mean([times_faster(rounds, f"{n} {p}") for p in PARTS]) for n in ("copy", "entry")}
    order = sorted(["baseline", *score], key=lambda name: -score[name].log if name in score else 0.0)
    apart = told_apart({(name, "baseline"): ratio for name, ratio in score.items()})
    rank = dict(zip(order, ranks(order, apart), strict=True))

    def faster(name: str) -> float:
        mine = [np.log(one.first) - np.log(one.second) for one in rounds if one.part.startswith(name)]
        return float(np.exp(np.mean([np.median(one) for one in mine])))

    memory = {name: sum(Arm(programs()[name], SPRINT).bytes) for name in size}
    smaller = [of["baseline"] / of["entry"] for of in (size, memory)]
    kept = accuracy["entry"][0] / accuracy["baseline"][0]
    overall = float(np.exp(np.log([faster("entry"), *smaller, kept]).mean()))
    shares = float(rank["copy"] == rank["baseline"])
    values = overall, float(np.mean(verdicts(right))), abs(faster("copy") - 1), shares
    return dict(zip(GOALS, values, strict=True)), Trained(rounds, size, rank, accuracy)


def draw(runs: Sequence[Trained]) -> Figure:
    """The board of the first run, what each entry loses when images change, and the times of all rounds."""
    first, rows, times = runs[0], [], {}
    for name, of in (("baseline", "entry classify"), ("entry", "entry classify")):
        mine = [one for one in first.rounds if one.part == of]
        times[name] = [t for one in mine for t in (one.first if name == "baseline" else one.second)]
        p50 = quantile(times[name], 0.5)
        rows.append((first.size[name], p50.value, 1 - first.accuracy[name][0]))
        console.say(
            f"{name:9} rank {first.ranks[name]}  {first.size[name]:>7,} bytes  {p50.value * 1e6:.2f} us"
        )
    console.say(f"on the Pareto front: {', '.join(list(times)[i] for i in front(rows))}")

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    clock, kept = figure.subplots(1, 2)
    for name, seconds in times.items():
        clock.plot(np.array(seconds) * 1e6, ".-", linewidth=0.5, label=name)
    clock.set(title="microseconds of an image", xlabel="round", ylim=(0, None))
    clock.legend()
    for number, both in enumerate(first.accuracy.values()):
        kept.barh([number - 0.2, number + 0.2], both, 0.35, color=["tab:blue", "tab:orange"])
    kept.set(title="accuracy, as they are and changed", yticks=range(4), yticklabels=first.accuracy)
    kept.invert_yaxis()
    return figure


if __name__ == "__main__":
    run(trial, draw, GOALS)
