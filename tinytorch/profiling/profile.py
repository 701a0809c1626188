"""Profile: everything one profiling session found out, as plain data that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch.profiling.statistics import Estimate

if TYPE_CHECKING:
    from tinytorch.profiling.report.diff import Diff


@dataclass(frozen=True)
class ModuleRow:
    """What one module costs in a pass, without its children ("self") and with them ("total").

    `self_seconds` is kernels and the Python between them; `kernel_seconds` the part inside kernels.
    `flops` is None where an op in the module is uncounted. `peak_bytes`: the most memory, over what was
    there before the pass, while the module ran. `bound`: "compute", "memory", "overhead" or None (unknown).
    """

    path: str
    kind: str
    depth: int
    calls: float
    self_seconds: Estimate
    total_seconds: Estimate
    kernel_seconds: float
    backward_seconds: float
    share: Estimate
    flops: int | None
    matmul_flops: int
    bytes: int
    parameter_bytes: int
    peak_bytes: int | None = None
    roof: float | None = None
    bound: str | None = None

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved; None where nothing moves or the FLOPs are unknown."""
        return self.flops / self.bytes if self.bytes and self.flops is not None else None


@dataclass(frozen=True)
class OpRow:
    """What one kind of op costs in a pass, over all modules: `seconds` with the Python that led to it."""

    name: str
    calls: float
    seconds: Estimate
    share: Estimate
    backward_seconds: float
    flops: int | None
    matmul_flops: int
    bytes: int


@dataclass(frozen=True)
class Slice:
    """One op on the timeline: seconds from the start of the pass; FLOPs and bytes as the op counts them."""

    path: str
    op: str
    backward: bool
    start: float
    end: float
    flops: int | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Hotspot:
    """A function or line of a plain callable. `self_seconds`: its own time; `total_seconds`: with callees.

    `interval`: that of `share`, which is the share of own time; None where it was sampled once.
    """

    function: str
    file: str
    line: int
    calls: int
    self_seconds: float
    total_seconds: float
    share: float
    interval: Estimate | None = None


@dataclass(frozen=True)
class Insight:
    """A sentence about the profile that its interval supports; `gain`: the whole's speed-up limit, if any."""

    kind: str
    text: str
    gain: float | None = None


@dataclass(frozen=True)
class Timing:
    """Times of whole passes that nobody watched, in seconds, in the order they were measured."""

    samples: tuple[float, ...]
    warmup: int
    mean: Estimate
    p50: Estimate
    p95: Estimate
    p99: Estimate
    std: float
    min: float
    max: float
    cpu: float
    mild_outliers: int = 0
    severe_outliers: int = 0


@dataclass(frozen=True)
class MemorySite:
    """Bytes live at the peak that were allocated at one line."""

    file: str
    line: int
    bytes: int
    blocks: int


@dataclass(frozen=True)
class MemoryPoint:
    """A moment of the memory timeline: seconds from the start of the call, live bytes, module path."""

    seconds: float
    bytes: int
    path: str = ""


@dataclass(frozen=True)
class ModuleMemory:
    """Bytes of one module: its own parameters and gradients, what it keeps for backward, its temporaries.

    Those four are without its children. `temporaries`: the most that one of its ops, with the Python before
    it, needed beyond what was there and what it keeps. `peak`: the most over the baseline while the module,
    children included, ran.
    """

    path: str
    parameters: int
    gradients: int
    activations: int
    temporaries: int
    peak: int


@dataclass(frozen=True)
class MemoryUse:
    """Memory of one call, in bytes. Traced: Python and NumPy blocks; resident: the process as a whole.

    `baseline` is live before the call (of what tracing knows: see `MemoryProfiler`), `peak` the most during
    it, `allocated` is `peak - baseline`, `retained` what stayed after its result was dropped (a median over
    the repeats), `slope` the bytes by which a call makes that grow, `pattern` one of "steady", "growing",
    "spiky", "unknown". `activations`: the most that was kept for backward at one time; `temporaries`: the
    most beyond that, the result included. `notes`: what could not be found out, and why. `buffers`: tensors
    of the model that are not trained, such as codes.
    """

    baseline: int
    peak: int
    allocated: int
    retained: int
    resident_baseline: int | None
    resident_peak: int | None
    pattern: str
    repeats: int
    slope: Estimate | None = None
    parameters: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    temporaries: int = 0
    modules: tuple[ModuleMemory, ...] = ()
    timeline: tuple[MemoryPoint, ...] = ()
    sites: tuple[MemorySite, ...] = ()
    notes: tuple[str, ...] = ()
    buffers: int = 0

    def __repr__(self) -> str:
        from tinytorch.profiling.memory.text import text

        return text(self)


@dataclass(frozen=True)
class Roof:
    """What this machine can do at most with `threads`: FLOP/s, and bytes/s by level of memory, nearest first.

    `sizes`: bytes that a level holds for these threads (none for main memory). `spread`: by how much the
    median reading fell short of the best, of "flops" and each level. `call`: seconds of the cheapest call.
    `confirmed`: a second measurement, at another time, found the same.
    """

    flops: float
    bandwidths: dict[str, float]
    threads: int
    dtype: str = "float32"
    sizes: dict[str, int] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    call: float = 0.0
    notes: tuple[str, ...] = ()
    confirmed: bool = False


@dataclass(frozen=True, repr=False)
class Profile:
    """All that was found: verdict and insights, time by module and op, one pass in order, memory, roofs.

    `mode`: "forward", "backward" (forward and backward) or "callable". `overhead`: time of a watched pass
    over that of an unwatched one. `notes`: what the profile cannot know, and warnings about the reading.
    """

    name: str
    kind: str
    mode: str
    date: str
    configuration: dict[str, str]
    environment: dict[str, str]
    timing: Timing | None
    overhead: Estimate | None
    flops: int | None
    matmul_flops: int
    bytes: int
    coverage: float
    uncounted: tuple[str, ...]
    modules: tuple[ModuleRow, ...]
    ops: tuple[OpRow, ...]
    timeline: tuple[Slice, ...] = ()
    memory: MemoryUse | None = None
    roof: Roof | None = None
    hotspots: tuple[Hotspot, ...] = ()
    insights: tuple[Insight, ...] = ()
    notes: tuple[str, ...] = ()
    passes: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Self seconds of each module path in each watched pass: what `diff` tests."""

    def __repr__(self) -> str:
        """The report as text: the verdict, then the tree of modules, at most 100 columns."""
        from tinytorch.profiling.report.text import text

        return text(self)

    def _repr_html_(self) -> str:
        """The report as a notebook shows it."""
        from tinytorch.profiling.report.page import fragment

        return fragment(self)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one page that needs nothing else; raises CheckpointError if it cannot be."""
        from tinytorch.profiling.report.page import page
        from tinytorch.training.files import write_whole

        write_whole(path, page(self).encode())

    def to_json(self, path: str | Path) -> None:
        """Write the profile as JSON that `load` reads again.

        Raises ProfilingError for a figure that is not finite, CheckpointError where it cannot be written.
        """
        from tinytorch.profiling.report.export import as_json
        from tinytorch.training.files import write_whole

        write_whole(path, as_json(self))

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """The profile that `to_json` wrote; raises ProfilingError for a file that is none, or damaged."""
        from tinytorch.profiling.report.export import read

        return read(path)

    def to_chrome_trace(self, path: str | Path) -> None:
        """Write the ops of one pass in order, within their modules, for Perfetto and chrome://tracing.

        Raises ProfilingError where no ops were watched, CheckpointError where it cannot be written.
        """
        from tinytorch.profiling.report.traces import chrome_trace
        from tinytorch.training.files import write_whole

        write_whole(path, chrome_trace(self))

    def to_speedscope(self, path: str | Path) -> None:
        """Write the ops of one pass in order, or the functions of a plain callable, for speedscope.app.

        Raises ProfilingError where there are neither, CheckpointError where it cannot be written.
        """
        from tinytorch.profiling.report.traces import speedscope
        from tinytorch.training.files import write_whole

        write_whole(path, speedscope(self))

    def diff(self, other: Profile) -> Diff:
        """What changed from this profile to the other, module by module, and whether that is significant.

        Raises ProfilingError for profiles of different models or of different kinds of pass.
        """
        from tinytorch.profiling.report.diff import diff

        return diff(self, other)
