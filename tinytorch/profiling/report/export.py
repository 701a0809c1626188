"""Profiles as JSON: written with all they hold, and read again only if whole, sound and of this version."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch.errors import ProfilingError
from tinytorch.profiling.profile import Profile

if TYPE_CHECKING:
    import msgspec

FORMAT, VERSION = "tinytorch-profile", 1
MOST_BYTES = 256 * 2**20
LONGEST = 1e8  # seconds, three years


@dataclass(frozen=True)
class Head:
    """What a file says of itself before what it holds is looked at."""

    format: str = ""
    version: int = 0


@dataclass(frozen=True)
class Document:
    """A profile under the name and version of its format."""

    format: str
    version: int
    profile: Profile


def as_json(profile: Profile) -> bytes:
    """The profile as JSON; raises ProfilingError for a figure that is not finite, which JSON cannot hold.

    >>> from tinytorch.profiling.profile import Profile
    >>> empty = Profile("f", "callable", "callable", "", {}, {}, None, None, 0, 0, 0, 1.0, (), (), ())
    >>> as_json(empty)[:41]
    b'{"format":"tinytorch-profile","version":1'
    """
    import msgspec

    for place, value in _numbers(profile, "profile"):
        if not math.isfinite(value):
            raise ProfilingError(f"{place} is {value}: JSON holds finite numbers only; nothing was written")
    content = msgspec.json.encode(Document(FORMAT, VERSION, profile))
    if len(content) > MOST_BYTES:
        raise ProfilingError(
            f"the profile takes {len(content):,} bytes, of at most {MOST_BYTES:,}; profile fewer runs"
        )
    return content


def read(path: str | Path) -> Profile:
    """The profile in a file; raises ProfilingError, in one line, for a file that is not a sound one."""
    path = Path(path)
    try:
        length = path.stat().st_size
        if length > MOST_BYTES:
            raise ProfilingError(f"{path}: {length:,} bytes; a profile has at most {MOST_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return from_json(content)
    except ProfilingError as error:
        raise ProfilingError(f"{path}: {error}") from None


def from_json(content: bytes) -> Profile:
    """The profile in JSON that `as_json` wrote; raises ProfilingError for anything else."""
    import msgspec

    try:
        head = msgspec.json.decode(content, type=Head)
        if head.format != FORMAT:
            raise ProfilingError('not a profile: write one with Profile.to_json or "tito profile --json"')
        if head.version != VERSION:
            raise ProfilingError(
                f"a profile of version {head.version}; this TinyTorch reads version {VERSION}. Profile again."
            )
        profile = msgspec.json.decode(content, type=Document).profile
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProfilingError(f"not a whole profile: {_short(error)}") from None
    _check(profile)
    return profile


def _short(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> str:
    return " ".join(str(error).split())[:200]


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every float within, and where it is."""
    if isinstance(value, float):
        yield place, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _numbers(getattr(value, field.name), f"{place}.{field.name}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{place}[{key!r}]")
    elif isinstance(value, tuple | list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{place}[{number}]")


def _check(profile: Profile) -> None:
    """Raise for figures that no measurement gives, before reports divide by them."""
    timing, roof = profile.timing, profile.roof
    if timing is not None and not (timing.samples and min(timing.samples) > 0 and timing.min > 0):
        raise ProfilingError("damaged: its times must be one or more, each above 0")
    if timing is not None and min(e.value for e in (timing.mean, timing.p50, timing.p95, timing.p99)) <= 0:
        raise ProfilingError("damaged: a mean or percentile of its times is not above 0")
    if roof is not None and not (roof.flops > 0 and roof.bandwidths and min(roof.bandwidths.values()) > 0):
        raise ProfilingError("damaged: its roofs must be above 0")
    paths = [row.path for row in profile.modules]
    if len(set(paths)) < len(paths):
        raise ProfilingError("damaged: a module appears twice")
    times = [row.self_seconds.value for row in profile.modules]
    times += [op.seconds.value for op in profile.ops] + [spot.self_seconds for spot in profile.hotspots]
    times += [second for seconds in profile.passes.values() for second in seconds]
    times += [moment for op in profile.timeline for moment in (op.start, op.end)]
    if min(times, default=0) < 0 or max(times, default=0) > LONGEST:
        raise ProfilingError(f"damaged: a time is below 0 or above {LONGEST:,.0f} seconds")
