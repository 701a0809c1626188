"""Profiles in files: JSON that loads again equal or is refused in one line, traces that nest."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiling.profiles import gpt, one_run, plain_callable
from tinytorch.errors import CheckpointError, ProfilingError
from tinytorch.profiling.profile import Insight, Profile, Slice
from tinytorch.profiling.report import export
from tinytorch.profiling.report.traces import chrome_trace, frames, speedscope

WHOLE = export.as_json(gpt())


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(WHOLE)
    return found


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("profile", [gpt(), gpt(backward=True), one_run(), plain_callable()])
def test_a_profile_loads_again_equal(profile: Profile, tmp_path: Path) -> None:
    profile.to_json(tmp_path / "p.json")
    assert Profile.load(tmp_path / "p.json") == profile
    assert repr(Profile.load(str(tmp_path / "p.json"))) == repr(profile)


def test_the_file_is_json_that_others_read() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(WHOLE, parse_constant=refuse)
    assert (found["format"], found["version"]) == ("tinytorch-profile", 1)
    assert found["profile"]["modules"][0]["kind"] == "GPT"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_and_what_was_there_stays(bad: float, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("before")
    profile = replace(gpt(), insights=(Insight("k", "t", bad),))
    with pytest.raises(ProfilingError, match=r"profile\.insights\[0\]\.gain is"):
        profile.to_json(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        gpt().to_json(tmp_path / "file" / "p.json")


def damaged(change: str) -> bytes:
    """The document with one thing wrong."""
    found = document()
    profile = found["profile"]
    match change:
        case "older":
            found["version"] = 0
        case "newer":
            found["version"] = 2
        case "foreign":
            found["format"] = "tinytorch-journey"
        case "missing":
            del profile["modules"]
        case "text":
            profile["bytes"] = "many"
        case "null":
            profile["modules"][0]["self_seconds"]["value"] = None
        case "twice":
            profile["modules"].append(profile["modules"][0])
        case "negative":
            profile["modules"][1]["self_seconds"]["value"] = -1.0
        case "no samples":
            profile["timing"]["samples"] = []
        case "zero":
            profile["timing"]["p50"]["value"] = 0.0
        case "roof":
            profile["roof"]["flops"] = 0.0
        case "endless":
            profile["timeline"][0]["end"] = 1e300
    return json.dumps(found).encode()


CHANGES = {
    "older": "version 0; this TinyTorch reads version 1",
    "newer": "version 2; this TinyTorch reads version 1",
    "foreign": "not a profile",
    "missing": "missing required field `modules`",
    "text": "Expected `int`, got `str`",
    "null": "Expected `float`, got `null`",
    "twice": "appears twice",
    "negative": "below 0",
    "no samples": "one or more",
    "zero": "not above 0",
    "roof": "roofs must be above 0",
    "endless": "above 100,000,000 seconds",
}


@pytest.mark.parametrize(("change", "said"), CHANGES.items(), ids=CHANGES.keys())
def test_a_damaged_profile_is_one_clear_line(change: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(damaged(change))
    with pytest.raises(ProfilingError) as caught:
        Profile.load(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10_000, WHOLE[:-20], b'{"format": 3}']
)
def test_what_is_no_profile_is_refused(content: bytes) -> None:
    with pytest.raises(ProfilingError, match="not a"):
        export.from_json(content)


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProfilingError, match="cannot be read"):
        Profile.load(tmp_path / "none.json")
    with pytest.raises(ProfilingError, match="cannot be read"):
        Profile.load(tmp_path)
    gpt().to_json(tmp_path / "p.json")
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(ProfilingError, match="at most 1,000"):
        Profile.load(tmp_path / "p.json")
    with pytest.raises(ProfilingError, match="of at most 1,000"):
        gpt().to_json(tmp_path / "q.json")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3))
def test_any_change_of_bytes_gives_a_profile_or_a_profiling_error(place: int, put: bytes) -> None:
    content = WHOLE[:place] + put + WHOLE[place + len(put) + 1 :]
    found: Profile | ProfilingError
    try:
        found = export.from_json(content)
    except ProfilingError as error:
        found = error
    lines = repr(found).splitlines()
    assert len(lines) == 1 or max(map(len, lines)) <= 100


# ---------------------------------------------------------------- traces


def check_nesting(spans: list[tuple[int, int]]) -> None:
    """Fail where two spans, in the order of a trace, overlap without one holding the other."""
    around: list[tuple[int, int]] = []
    for start, end in spans:
        assert start <= end
        while around and around[-1][1] <= start and not (around[-1][1] == start == end):
            around.pop()
        if around:
            assert around[-1][0] <= start
            assert end <= around[-1][1]
        around.append((start, end))


def chrome(profile: Profile, most: int = 20_000) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chrome_trace(profile, most))
    return found


@pytest.mark.parametrize("backward", [False, True])
def test_chrome_events_nest_and_hold_every_op(backward: bool, tmp_path: Path) -> None:
    profile = gpt(backward=backward)
    profile.to_chrome_trace(tmp_path / "t.json")
    found = json.loads((tmp_path / "t.json").read_text())
    events = [e for e in found["traceEvents"] if e["ph"] == "X"]
    assert {e["ph"] for e in found["traceEvents"]} == {"M", "X"}
    spans = [(round(e["ts"] * 1000), round((e["ts"] + e["dur"]) * 1000)) for e in events]
    assert spans == sorted(spans, key=lambda span: span[0])
    check_nesting(spans)
    ops = [e for e in events if e["cat"] == "op"]
    assert [e["name"] for e in ops] == [s.op for s in profile.timeline]
    for event, op in zip(ops, profile.timeline, strict=True):
        assert event["ts"] == pytest.approx(op.start * 1e6, abs=1e-3)
        assert event["dur"] == pytest.approx((op.end - op.start) * 1e6, abs=2e-3)
        assert event["args"]["bytes"] == op.bytes
        assert event["args"]["flops"] == (op.flops if op.flops is not None else "not counted")
        around = {
            e["name"]
            for e in events
            if e["cat"] == "module"
            and e["ts"] <= event["ts"]
            and event["ts"] + event["dur"] <= e["ts"] + e["dur"] + 1e-6
        }
        parts = op.path.split(".") if op.path else []
        assert {".".join(parts[: n + 1]) for n in range(len(parts))} <= around
    assert sum(e["cat"] == "backward" for e in events) == int(backward)


def opened_and_closed(found: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Replay an evented speedscope profile: (frame, opened, closed), failing where it does not nest."""
    (inner,), names = found["profiles"], found["shared"]["frames"]
    stack: list[tuple[int, int]] = []
    out, now = [], inner["startValue"]
    for event in inner["events"]:
        assert event["at"] >= now
        now = event["at"]
        if event["type"] == "O":
            stack.append((event["frame"], now))
        else:
            frame, since = stack.pop()
            assert frame == event["frame"]
            out.append((names[frame]["name"], since, now))
    assert not stack
    assert now <= inner["endValue"]
    return out


def test_speedscope_events_open_and_close(tmp_path: Path) -> None:
    profile = gpt(backward=True)
    profile.to_speedscope(tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert found["profiles"][0]["type"] == "evented"
    assert found["profiles"][0]["unit"] == "nanoseconds"
    closed = opened_and_closed(found)
    matmul = sum(end - start for name, start, end in closed if name == "MatMul")
    assert matmul == pytest.approx(
        sum(s.end - s.start for s in profile.timeline if s.op == "MatMul") * 1e9, rel=1e-6
    )
    assert [name for name, _, _ in closed][-1] == "small GPT"


def test_speedscope_of_a_plain_callable_weighs_functions() -> None:
    inner = json.loads(speedscope(plain_callable()))["profiles"][0]
    assert (inner["type"], inner["samples"], inner["weights"]) == ("sampled", [[0], [1]], [0.0019, 0.0009])


SLICES = st.lists(
    st.builds(
        Slice,
        st.sampled_from(["", "a", "a.b", "a.b.c", "d", "d.b"]),
        st.sampled_from(["Add", "a"]),
        st.booleans(),
        st.floats(0, 1e-6),
        st.floats(0, 1e-6),
        st.none() | st.integers(0, 10),
    ),
    min_size=1,
    max_size=40,
)


@given(SLICES, st.integers(1, 50))
def test_any_timeline_nests(timeline: list[Slice], most: int) -> None:
    profile = replace(gpt(), timeline=tuple(timeline))
    found = [e for e in chrome(profile, most)["traceEvents"] if e["ph"] == "X"]
    assert sum(e["cat"] == "op" for e in found) == min(most, len(timeline))
    for e in found:
        assert e["dur"] >= 0
    starts = [frame.start for frame in frames(profile, most)]
    assert starts == sorted(starts)
    check_nesting([(f.start, f.end) for f in frames(profile, most)])
    opened_and_closed(json.loads(speedscope(profile, most)))


def test_a_trace_is_bounded_and_says_where_it_was_cut() -> None:
    found = chrome(gpt(), most=5)
    assert sum(e.get("cat") == "op" for e in found["traceEvents"]) == 5
    said = "Cut off: the first 5 of the 42 ops of a pass."
    assert found["otherData"]["cut"] == said
    assert found["traceEvents"][-1]["name"] == said
    assert said in json.loads(speedscope(gpt(), most=5))["profiles"][0]["name"]
    assert "Cut" not in chrome_trace(gpt()).decode()


def test_there_is_no_trace_of_what_was_not_watched(tmp_path: Path) -> None:
    with pytest.raises(ProfilingError, match="parse: no ops were watched"):
        plain_callable().to_chrome_trace(tmp_path / "t.json")
    with pytest.raises(ProfilingError, match="neither ops nor functions"):
        replace(plain_callable(), hotspots=()).to_speedscope(tmp_path / "t.json")
    assert not list(tmp_path.iterdir())
