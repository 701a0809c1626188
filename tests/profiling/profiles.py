"""Profiles built by hand, with every part filled in, that the tests of reports share."""

from dataclasses import replace

import numpy as np

from tinytorch.profiling.profile import (
    Hotspot,
    Insight,
    MemoryPoint,
    MemorySite,
    MemoryUse,
    ModuleMemory,
    ModuleRow,
    OpRow,
    Profile,
    Roof,
    Slice,
    Timing,
)
from tinytorch.profiling.statistics import Estimate, mean, median, quantile

HOSTILE = "<script>alert('x')</script>"
ROOF = Roof(
    80e9,
    {"L1": 210e9, "L2": 96e9, "L3": 38e9, "memory": 11.5e9},
    1,
    sizes={"L1": 32 * 2**10, "L2": 2**20, "L3": 32 * 2**20},
    spread={"flops": 0.01, "L1": 0.02, "L2": 0.03, "L3": 0.08, "memory": 0.05},
    call=6e-7,
)
# path, kind, op, seconds, kernel part, FLOPs, FLOPs of matrix products, bytes
Leaf = tuple[str, str, str, float, float, int | None, int, int]


def leaves(blocks: int = 4) -> list[Leaf]:
    """The modules of a small GPT in which ops run, with figures such as a laptop gives."""
    rows: list[Leaf] = [
        ("token", "Embedding", "Take", 42e-6, 0.7, 0, 0, 198_000),
        ("position", "Embedding", "Slice", 9e-6, 0.4, 0, 0, 99_000),
    ]
    for i in range(blocks):
        b = f"blocks.{i}"
        rows += [
            (f"{b}.norm1", "LayerNorm", "LayerNorm", 48e-6, 0.8, 786_432, 0, 789_504),
            (f"{b}.attention.qkv", "Linear", "MatMul", 260e-6, 0.96, 14_204_928, 14_155_776, 860_160),
            (
                f"{b}.attention",
                "MultiHeadAttention",
                "Attention",
                690e-6,
                0.9,
                12_582_912,
                8_388_608,
                1_900_544,
            ),
            (f"{b}.attention.projection", "Linear", "MatMul", 88e-6, 0.93, 4_734_976, 4_718_592, 344_064),
            (f"{b}.norm2", "LayerNorm", "LayerNorm", 47e-6, 0.8, 786_432, 0, 789_504),
            (f"{b}.mlp.0", "Linear", "MatMul", 345e-6, 0.97, 18_939_904, 18_874_368, 1_130_496),
            (f"{b}.mlp.1", "GELU", "GELU", 160e-6, 0.9, 7_340_032, 0, 2_097_152),
            (f"{b}.mlp.2", "Linear", "MatMul", 350e-6, 0.97, 18_890_752, 18_874_368, 1_128_960),
            (f"{b}.dropout", "Dropout", "Copy", 6e-6, 0.1, 0, 0, 0),
        ]
    rows += [
        ("norm", "LayerNorm", "LayerNorm", 49e-6, 0.8, 786_432, 0, 789_504),
        (HOSTILE, "Adapter & <b>", "Custom<op>", 120e-6, 0.3, None, 0, 393_216),
        ("head", "Linear", "MatMul", 410e-6, 0.95, 6_291_456, 6_291_456, 688_128),
        ("", "GPT", "Add", 60e-6, 0.2, 49_152, 0, 589_824),
    ]
    return rows


def gpt(blocks: int = 4, passes: int = 20, runs: int = 60, seed: int = 0, backward: bool = False) -> Profile:
    """A whole profile of a small GPT: 30 modules and more, one with a name meant to break pages."""
    rng = np.random.default_rng(seed)
    found = leaves(blocks)
    measured = {leaf[0]: leaf[3] * np.exp(0.03 * rng.standard_normal(passes)) for leaf in found}
    samples = sum(measured.values()).mean() * np.exp(0.02 * rng.standard_normal(runs))  # type: ignore[union-attr]
    samples[runs // 2] *= 1.9
    samples[runs // 3] *= 1.12
    return Profile(
        name="small GPT",
        kind="TinyTorch model",
        mode="backward" if backward else "forward",
        date="2026-02-03 04:05:06",
        configuration={
            "inputs": "int64[1, 128]",
            "runs": str(runs),
            "threads": "1",
            "parameters": "842,496",
        },
        environment={
            "processor": "An <imaginary> CPU @ 3 GHz",
            "cores": "2",
            "governor": "performance",
            "numpy": "2.4.0",
            "blas": "openblas, 1 thread",
        },
        timing=timing(samples),
        overhead=Estimate(1.021, 1.013, 1.030),
        flops=None,
        matmul_flops=sum(leaf[6] for leaf in found),
        bytes=sum(leaf[7] for leaf in found),
        coverage=1 - 1 / len(found),
        uncounted=("Custom<op>",),
        modules=module_rows(found, measured, backward),
        ops=op_rows(found, measured, backward),
        timeline=timeline(found, backward),
        memory=memory(found),
        roof=ROOF,
        insights=(
            Insight(
                "amdahl",
                "blocks.*.attention takes 35.9 % [34.9, 37.0] of self time; no speed-up there exceeds 1.56x.",
                1.56,
            ),
            Insight(
                "overhead", "Calls & Python take 4.1 % of the time: a larger batch would spread them.", None
            ),
        ),
        notes=("the governor is <powersave>: clock speeds may change during the run",),
        passes={row: tuple(map(float, measured[row])) for row in measured},
    )


def timing(samples: np.ndarray) -> Timing:
    """Timing of the samples by the functions that are tested elsewhere."""
    lower, upper = np.quantile(samples, (0.25, 0.75))
    beyond = samples - upper
    return Timing(
        tuple(map(float, samples)),
        3,
        mean(samples),
        median(samples),
        quantile(samples, 0.95),
        quantile(samples, 0.99),
        float(samples.std(ddof=1)),
        float(samples.min()),
        float(samples.max()),
        float(samples.mean()) * 0.99,
        int(((beyond > 1.5 * (upper - lower)) & (beyond <= 3 * (upper - lower))).sum()),
        int((beyond > 3 * (upper - lower)).sum()),
    )


def module_rows(found: list[Leaf], measured: dict[str, np.ndarray], backward: bool) -> tuple[ModuleRow, ...]:
    """Rows of the leaves and of all above them, the root first."""
    by_path = {leaf[0]: leaf for leaf in found}
    whole = sum(measured.values())
    rows = []
    for path in order(list(by_path)):
        leaf = by_path.get(path, (path, "ModuleList" if path == "blocks" else "Block", "", 0.0, 0.0, 0, 0, 0))
        own = measured.get(path, np.zeros_like(whole))
        below = f"{path}." if path else ""
        total = sum(
            (v for p, v in measured.items() if p == path or p.startswith(below)), np.zeros_like(whole)
        )
        seconds, flops, moved = float(np.median(own)), leaf[5], leaf[7]
        share = bound = None
        if seconds:
            bound = "overhead" if leaf[4] < 0.5 else None
            if flops is not None and moved:
                needed = {"compute": flops / ROOF.flops, "memory": moved / ROOF.bandwidths["L3"]}
                share = max(needed.values()) / seconds
                bound = bound or max(needed, key=lambda key: needed[key])
        rows.append(
            ModuleRow(
                path,
                leaf[1],
                path.count(".") + 1 if path else 0,
                1.0 if seconds else 0.0,
                median(own),
                median(total),
                seconds * leaf[4],
                seconds * 0.66 if backward else 0.0,
                median(own / whole),
                flops,
                leaf[6],
                moved,
                moved // 4 if leaf[1] == "Linear" else 0,
                moved // 2 + 1024 if seconds else None,
                share,
                bound,
            )
        )
    return tuple(rows)


def order(paths: list[str]) -> list[str]:
    """The root, then each path after those above it."""
    out = [""]
    for path in paths:
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            above = ".".join(parts[:n])
            if above not in out:
                out.append(above)
    return out


def op_rows(found: list[Leaf], measured: dict[str, np.ndarray], backward: bool) -> tuple[OpRow, ...]:
    """A row for each kind of op, the costliest first."""
    whole, rows = sum(measured.values()), []
    for name in dict.fromkeys(leaf[2] for leaf in found):
        mine = [leaf for leaf in found if leaf[2] == name]
        seconds = sum(measured[leaf[0]] for leaf in mine)
        counts = [leaf[5] for leaf in mine]
        rows.append(
            OpRow(
                name,
                float(len(mine)),
                median(seconds),
                median(seconds / whole),
                float(np.median(seconds)) * 0.66 if backward else 0.0,
                None if None in counts else sum(c for c in counts if c is not None),
                sum(leaf[6] for leaf in mine),
                sum(leaf[7] for leaf in mine),
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.seconds.value))


def timeline(found: list[Leaf], backward: bool) -> tuple[Slice, ...]:
    """One pass in order; with `backward`, all of it again from its end."""
    out, now = [], 2e-6
    both = [(leaf, False) for leaf in found] + [(leaf, True) for leaf in reversed(found) if backward]
    for leaf, gradient in both:
        end = now + leaf[3] * leaf[4]
        out.append(Slice(leaf[0], leaf[2], gradient, now, end, leaf[5], leaf[7]))
        now = end + leaf[3] * (1 - leaf[4])
    return tuple(out)


def memory(found: list[Leaf]) -> MemoryUse:
    """Memory that rises while a block runs and falls after it."""
    points, live, now = [], 3_500_000, 0.0
    for number, leaf in enumerate(found):
        live += leaf[7] // 3 if number % 9 < 6 else -leaf[7] // 2
        now += leaf[3]
        points.append(MemoryPoint(now, max(live, 3_400_000), leaf[0]))
    peak = max(point.bytes for point in points)
    return MemoryUse(
        3_400_000,
        peak,
        peak - 3_400_000,
        12_288,
        91_000_000,
        96_500_000,
        "spiky",
        10,
        Estimate(12.0, -40.0, 70.0),
        3_369_984,
        0,
        0,
        1_048_576,
        peak - 3_400_000 - 1_048_576,
        tuple(
            ModuleMemory(leaf[0], leaf[7] // 4, 0, leaf[7] // 3, leaf[7] // 5, leaf[7] // 2 + 1024)
            for leaf in found
        ),
        tuple(points),
        (
            MemorySite("tinytorch/ops/matmul.py", 41, 1_572_864, 6),
            MemorySite("/home/<you>/model.py", 7, 393_216, 3),
        ),
    )


def plain_callable() -> Profile:
    """A Python function in which no op ran."""
    rng = np.random.default_rng(1)
    return Profile(
        name="parse",
        kind="callable",
        mode="callable",
        date="2026-02-03 04:05:06",
        configuration={"inputs": "none", "runs": "40", "threads": "1"},
        environment={"processor": "An imaginary CPU"},
        timing=timing(0.0031 * np.exp(0.05 * rng.standard_normal(40))),
        overhead=None,
        flops=0,
        matmul_flops=0,
        bytes=0,
        coverage=1.0,
        uncounted=(),
        modules=(),
        ops=(),
        hotspots=(
            Hotspot("split", "/home/<you>/parse.py", 12, 40, 0.0019, 0.0021, 0.61),
            Hotspot("<listcomp>", "/home/<you>/parse.py", 30, 40, 0.0009, 0.0009, 0.29),
        ),
    )


def one_run() -> Profile:
    """What a single run leaves: no interval, no roof, no memory."""
    whole = gpt()
    found = leaves()
    measured = {leaf[0]: np.array([leaf[3]]) for leaf in found}
    return replace(
        whole,
        timing=timing_of_one(sum(leaf[3] for leaf in found)),
        overhead=None,
        memory=None,
        roof=None,
        insights=(),
        notes=("one run: no intervals",),
        modules=tuple(
            replace(row, roof=None, bound=None, peak_bytes=None)
            for row in module_rows(found, measured, False)
        ),
        ops=op_rows(found, measured, False),
        passes={path: (float(values[0]),) for path, values in measured.items()},
    )


def timing_of_one(seconds: float) -> Timing:
    """The timing of a single pass."""
    only = Estimate(seconds, None, None)
    return Timing((seconds,), 0, only, only, only, only, 0.0, seconds, seconds, seconds)


def slower(profile: Profile, path: str, factor: float) -> Profile:
    """The profile with one module that many times as slow in every pass, the whole accordingly."""
    assert profile.timing is not None
    extra = float(np.median(profile.passes[path])) * (factor - 1)
    passes = {
        p: tuple(s * factor for s in times) if p == path else times for p, times in profile.passes.items()
    }
    rows = tuple(
        replace(row, self_seconds=median(passes[path])) if row.path == path else row
        for row in profile.modules
    )
    return replace(
        profile,
        modules=rows,
        passes=passes,
        timing=timing(np.array(profile.timing.samples) + extra),
    )
