"""One pass in order, as trace viewers read it: Chrome's trace events (Perfetto) and speedscope's format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.profiling.profile import Profile, Slice
from tinytorch.profiling.report.outline import label
from tinytorch.profiling.tree import ancestors

MOST_OPS = 20_000
DEEPEST = 64  # modules within modules that are shown
BACKWARD = "backward"


@dataclass
class Frame:
    """A stretch of time on the trace in whole nanoseconds: a module with what is in it, or an op."""

    name: str
    kind: str
    start: int
    end: int
    depth: int
    op: Slice | None = None


def frames(profile: Profile, most: int = MOST_OPS) -> list[Frame]:
    """Ops and the modules around them, each before what is in it; at most `most` ops.

    A module lasts from the first of its ops to the last of a run of them; the whole pass is around all, and
    gradients are within a stretch of their own. Raises ProfilingError where no ops were watched.
    """
    if not profile.timeline:
        raise ProfilingError(
            f"{profile.name}: no ops were watched, so there is no trace. Plain callables have hotspots: "
            "see the report, or write them for speedscope."
        )
    found = [Frame(profile.name, "pass", 0, 0, 0)]
    opened: list[Frame] = []
    now = 0
    for op in profile.timeline[:most]:
        start = max(now, round(op.start * 1e9))
        now = max(start, round(op.end * 1e9))
        around = _around(op)
        same = [(frame.name, frame.kind) == pair for frame, pair in zip(opened, around, strict=False)]
        kept = same.index(False) if False in same else len(same)
        del opened[kept:]
        opened += [Frame(name, kind, start, now, kept + n) for n, (name, kind) in enumerate(around[kept:], 1)]
        found += opened[kept:]
        found.append(Frame(op.op, "op", start, now, len(opened) + 1, op))
        for frame in (found[0], *opened):
            frame.end = now
    return found


def _around(op: Slice) -> list[tuple[str, str]]:
    """The stretches an op lies in, outermost first: name and kind."""
    modules = [(path, "module") for path in ancestors(op.path)[1:][:DEEPEST]]
    return [(BACKWARD, BACKWARD), *modules] if op.backward else modules


def cut(profile: Profile, most: int = MOST_OPS) -> str:
    """How many ops of the pass the trace leaves out, in a sentence; "" for none."""
    whole = max(len(profile.timeline), round(sum(op.calls for op in profile.ops)))
    shown = min(most, len(profile.timeline))
    return f"Cut off: the first {shown:,} of the {whole:,} ops of a pass." if shown < whole else ""


# ---------------------------------------------------------------- Chrome and Perfetto


def chrome_trace(profile: Profile, most: int = MOST_OPS) -> bytes:
    """The pass as trace events: complete events ("X"), microseconds, FLOPs and bytes of ops as arguments.

    Format: "Trace Event Format", Google, 2016. At most `most` ops; `otherData` and the last event say where
    it was cut. Raises ProfilingError where no ops were watched.
    """
    found = frames(profile, most)
    left_out = cut(profile, most)
    events: list[dict[str, Any]] = [
        _meta("process_name", profile.name),
        _meta("thread_name", f"one {profile.mode} pass"),
        *(_event(frame) for frame in found),
    ]
    if left_out:
        last = found[0].end / 1000
        events.append({"name": left_out, "ph": "i", "s": "g", "ts": last, "pid": 1, "tid": 1})
    other = {"name": profile.name, "date": profile.date, "cut": left_out, **profile.configuration}
    return _encoded({"traceEvents": events, "displayTimeUnit": "ns", "otherData": other})


def _meta(what: str, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": 1, "tid": 1, "args": {"name": name}}


def _event(frame: Frame) -> dict[str, Any]:
    event = {
        "name": frame.name,
        "cat": frame.kind,
        "ph": "X",
        "ts": frame.start / 1000,
        "dur": (frame.end - frame.start) / 1000,
        "pid": 1,
        "tid": 1,
    }
    if frame.op is not None:
        op = frame.op
        event["args"] = {
            "module": label(op.path),
            "flops": op.flops if op.flops is not None else "not counted",
            "bytes": op.bytes,
            "pass": BACKWARD if op.backward else "forward",
        }
    return event


# ---------------------------------------------------------------- speedscope


def speedscope(profile: Profile, most: int = MOST_OPS) -> bytes:
    """The pass as an evented profile in nanoseconds, or a plain callable's functions as a sampled one.

    Format: https://www.speedscope.app/file-format-schema.json. At most `most` ops; the profile's name says
    where it was cut. Raises ProfilingError where neither ops nor functions were watched.
    """
    if profile.timeline:
        names, inner = _evented(profile, most)
    elif profile.hotspots:
        names, inner = _sampled(profile)
    else:
        raise ProfilingError(f"{profile.name}: neither ops nor functions were watched; there is no trace")
    return _encoded(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": "tinytorch",
            "name": profile.name,
            "activeProfileIndex": 0,
            "shared": {"frames": names},
            "profiles": [inner],
        }
    )


def _evented(profile: Profile, most: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Frames, and opens and closes in order of time, the last opened closing first."""
    found = frames(profile, most)
    numbers = {name: n for n, name in enumerate(dict.fromkeys(frame.name for frame in found))}
    events: list[dict[str, Any]] = []
    stack: list[Frame] = []
    for frame in [*found, None]:
        while stack and (frame is None or stack[-1].depth >= frame.depth):
            last = stack.pop()
            events.append({"type": "C", "frame": numbers[last.name], "at": last.end})
        if frame is not None:
            stack.append(frame)
            events.append({"type": "O", "frame": numbers[frame.name], "at": frame.start})
    name = " ".join(filter(None, (f"{profile.name}, one {profile.mode} pass.", cut(profile, most))))
    inner = {
        "type": "evented",
        "name": name,
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": found[0].end,
        "events": events,
    }
    return [{"name": name} for name in numbers], inner


def _sampled(profile: Profile) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The functions of a plain callable with their own time as weight; who called whom is not known."""
    spots = profile.hotspots
    names = [{"name": spot.function, "file": spot.file, "line": spot.line} for spot in spots]
    inner = {
        "type": "sampled",
        "name": f"{profile.name}, own time of each function",
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(spot.self_seconds for spot in spots),
        "samples": [[n] for n in range(len(spots))],
        "weights": [spot.self_seconds for spot in spots],
    }
    return names, inner


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
