"""What a measurement of an entry leaves: figures, ratios, evidence and raw samples, in one form of bytes."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias, TypeVar

import msgspec

from tinytorch.benchmarking.ratio import Ratio
from tinytorch.errors import BenchmarkError

Division: TypeAlias = Literal["closed", "open"]
Board: TypeAlias = Literal["overall", "speed", "memory", "size"]
BOARDS: tuple[Board, ...] = ("overall", "speed", "memory", "size")

UNVERIFIED = "local, unverified"
NOT_ISOLATED = "not isolated"
CONTAMINATION = "not contamination-proof"
TRAINING = "training data cannot be verified"
QUICK = "quick, unranked"
TOO_NOISY = "the machine was too noisy: not published"


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with the ends of its 95 % interval; None where the samples do not bound it."""

    value: float
    low: float | None = None
    high: float | None = None


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of one program.

    latency: seconds of a query, by "part percentile" ("classify p90"); throughput: samples a second, offline.
    arena, resident: bytes of intermediate values and of weights, as the program plans them; grown: bytes by
    which the process grew; memory: what counts; file: bytes of the canonical file; quality: accuracy, or bits
    per byte of text, on test data; transformed: the same on test data under small random changes.
    """

    latency: dict[str, Interval]
    throughput: Interval
    arena: int
    resident: int
    grown: int
    memory: int
    file: int
    cpu: float
    quality: float
    transformed: float


class Technique(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A technique and where it was seen: "found" in the artifact, or only "declared" by the entrant."""

    name: str
    kind: Literal["found", "declared"]
    evidence: str


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it was measured; boards hold results of one `fingerprint` only."""

    fingerprint: str
    processor: str
    cores: int
    system: str
    python: str
    numpy: str
    tinytorch: str


class Rounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Raw times in seconds of one process: the median query of each round, of a and of b.

    part: what was run ("classify", "offline", ...); first, second: a and b by round; queries: single times.
    """

    part: str
    process: int
    first: tuple[float, ...]
    second: tuple[float, ...]
    first_queries: tuple[float, ...] = ()
    second_queries: tuple[float, ...] = ()


class Ratios(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many times better than the baseline, by board and by what makes up the boards.

    single, offline: the two scenarios; speed: both together; overall: speed, memory, size and accuracy.
    """

    single: Ratio
    offline: Ratio
    speed: Ratio
    memory: Ratio
    size: Ratio
    accuracy: Ratio
    overall: Ratio

    def on(self, board: Board) -> Ratio:
        """The ratio that a board sorts by."""
        found: Ratio = getattr(self, board)
        return found


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry, measured once.

    `valid`: the gate and all checks hold; `reasons`: why not, or what an organiser should look at; `labels`:
    what must stand beside the figures; `published`: whether it may stand on a board. `entry`, `baseline`,
    `runner`: SHA-256 of both canonical files and of the runner's code; `seed` was drawn after the entry was
    hashed. `description`: what the entrant says; `recipe`: of a closed entry, its text. `outcomes`: how each
    sample of test data came out, packed, for comparisons in pairs.
    """

    event: str
    division: Division
    team: str
    description: str
    entry: str
    baseline: str
    runner: str
    seed: int
    valid: bool
    published: bool
    reasons: tuple[str, ...]
    labels: tuple[str, ...]
    figures: Figures | None
    base: Figures | None
    ratios: Ratios | None
    control: Ratio | None
    techniques: tuple[Technique, ...]
    machine: Machine
    started: str
    seconds: float
    isolation: dict[str, str]
    samples: tuple[Rounds, ...] = ()
    recipe: str = ""
    outcomes: str = ""
    format: Literal["tinymlperf-result"] = "tinymlperf-result"
    version: Literal[1] = 1


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A paired re-run of two entries of one event, by the hashes of their files: how much better is `first`.

    `ratios`: by board, first against second.
    """

    event: str
    division: Division
    first: str
    second: str
    ratios: dict[Board, Ratio]
    machine: Machine
    runner: str
    seed: int
    started: str
    samples: tuple[Rounds, ...] = ()
    format: Literal["tinymlperf-comparison"] = "tinymlperf-comparison"
    version: Literal[1] = 1


Record: TypeAlias = Result | Comparison
T = TypeVar("T", Result, Comparison)


def encoded(record: Record) -> bytes:
    """A record as JSON in one form: the same record gives the same bytes."""
    return msgspec.json.encode(record, order="deterministic")


def decoded(content: bytes, kind: type[T]) -> T:
    """The record in bytes that `encoded` wrote; raises BenchmarkError for any others."""
    try:
        record = msgspec.json.decode(content, type=kind)
        same = encoded(record) == content
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BenchmarkError(f"not a whole record: {error}") from None
    if not same:
        raise BenchmarkError("damaged: the record is not in the one form in which records are written")
    return record


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()
