"""The report as text: it fits, adds up, says what it cannot know, and survives any name and console."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiling.profiles import HOSTILE, gpt, one_run, plain_callable
from tinytorch import console
from tinytorch.profiling.profile import ModuleRow, Profile
from tinytorch.profiling.report.layout import COLUMNS, columned, shortened
from tinytorch.profiling.report.outline import families, groups, outline, verdict
from tinytorch.profiling.statistics import Estimate


def empty(**parts: object) -> Profile:
    """A profile that holds nothing but the parts given."""
    whole = Profile("f", "callable", "callable", "", {}, {}, None, None, 0, 0, 0, 1.0, (), (), ())
    return replace(whole, **parts)  # type: ignore[arg-type]


def row(path: str, seconds: float, kind: str = "M") -> ModuleRow:
    """A module that takes so long itself."""
    spent = Estimate(seconds, None, None)
    return ModuleRow(
        path, kind, path.count(".") + 1, 1.0, spent, spent, 0.0, 0.0, Estimate(0.0, None, None), 0, 0, 0, 0
    )


PROFILES = {
    "gpt": gpt(),
    "backward": gpt(backward=True),
    "deep": gpt(12),
    "one run": one_run(),
    "callable": plain_callable(),
    "nothing": empty(),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_it_fits_and_survives_plain_consoles(profile: Profile) -> None:
    text = repr(profile)
    assert text.startswith(profile.name)
    assert max(map(len, text.splitlines())) <= COLUMNS == 100
    assert max(map(len, console.plain(text).splitlines())) <= 100
    assert "?" not in console.plain(text)
    text.encode("cp1252")


def test_the_verdict_says_how_long_what_bounds_it_and_what_takes_most() -> None:
    profile = gpt()
    said = verdict(profile)
    compute = sum(r.self_seconds.value for r in profile.modules if r.bound == "compute")
    whole = sum(r.self_seconds.value for r in profile.modules)
    passes = {path: np.array(times) for path, times in profile.passes.items()}
    attention = sum(v for path, v in passes.items() if re.fullmatch(r"blocks\.\d\.attention", path))
    share = float(np.median(attention / sum(passes.values())))
    assert said.startswith("small GPT: a forward pass takes 8.68 ms [8.62, 8.77] (median).")
    assert f"compute-bound for {100 * compute / whole:.1f} % of its time" in said
    assert f"blocks.*.attention (4 modules): {100 * share:.1f} % [" in said
    assert repr(profile).startswith(said[:90])


def test_no_single_bound_is_named_where_none_has_half_of_the_time() -> None:
    rows = [
        replace(row(name, seconds), bound=name)
        for name, seconds in (("compute", 4.0), ("memory", 3.0), ("overhead", 3.0))
    ]
    said = verdict(empty(modules=tuple(rows)))
    assert "No one thing bounds it: compute 40.0 %, overhead 30.0 %, memory 30.0 %" in said


@pytest.mark.parametrize(("blocks", "closed"), [(4, 0), (12, 11)])
def test_self_times_in_the_tree_add_up(blocks: int, closed: int) -> None:
    profile = gpt(blocks)
    table = repr(profile).split("module   ")[1].split("Modules below")[0]
    firsts = [re.search(r" {2,}(\d+\.\d\d) ", line) for line in table.splitlines()]
    shown = sum(float(found[1]) for found in firsts if found)
    assert table.count("(10 inside)") == closed
    inside = sum(
        r.self_seconds.value for r in profile.modules if closed and re.match(r"blocks\.([1-9]|1\d)\.", r.path)
    )
    whole = sum(r.self_seconds.value for r in profile.modules)
    assert shown / 1e6 + inside == pytest.approx(whole, rel=2e-5)


def test_every_block_stays_in_the_tree() -> None:
    lines = repr(gpt(12)).splitlines()
    assert sum(bool(re.match(r"  \d+ Block", line)) for line in lines) == 12
    assert any(line.startswith("   attention ") for line in lines)


def test_open_ends_say_how_many_runs_close_them() -> None:
    text = repr(gpt())
    assert "p99 12.3 ms [9.1, -]" in text
    assert "60 runs leave an end open: p95 needs 72, p99 needs 368 for both" in text


def test_backward_has_its_column_and_forward_has_not() -> None:
    assert "66%" in repr(gpt(backward=True))
    assert "back" not in repr(gpt()).split("Insights")[0].replace("kept for backward", "")


def test_a_single_run_has_no_intervals() -> None:
    text = repr(one_run())
    assert "measured once" in text
    assert "[" not in text.split("setup")[0].replace("int64[", "")
    assert "95 % interval" not in text
    assert "one run: no intervals" in text
    assert "roof" not in text


def test_a_plain_callable_shows_its_functions() -> None:
    text = repr(plain_callable())
    assert "The most goes to split (/home/<you>/parse.py:12): 61.0 %." in " ".join(text.split())
    assert re.search(r"<listcomp>  /home/<you>/parse.py:30 +29.0 % +900 \S+ +900 \S+ +40", text)
    assert "module" not in text


def test_what_is_not_counted_is_said() -> None:
    text = repr(gpt())
    assert "FLOPs not all counted" in text
    assert "the FLOPs of Custom<op>; 97.6 % of the ops are counted" in text
    line = next(line for line in text.splitlines() if line.startswith(" <script>a"))
    assert re.search(r" -  +- ", line)


def test_names_cannot_break_the_lines() -> None:
    rows = tuple(replace(r, path=r.path.replace("head", "he\nad\x1b[2J")) for r in gpt().modules)
    text = repr(replace(gpt(), modules=rows, name="a\r\nb"))
    assert "\x1b" not in text
    assert text.startswith("a b: ")
    assert max(map(len, text.splitlines())) <= 100


def test_modules_of_a_kind_are_one() -> None:
    found = groups(gpt())
    assert [len(group.rows) for group in found][:4] == [4, 4, 4, 4]
    assert sum(group.share.value for group in found) == pytest.approx(1.0, abs=0.01)
    assert found[0].share.low is not None
    assert families(["layers.0", "layers.1"]) == {"layers.0": "layers.0", "layers.1": "layers.1"}
    assert families([HOSTILE])[HOSTILE] == HOSTILE


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "0", "1", "2"]), max_size=5).map(".".join),
    min_size=1,
    max_size=60,
    unique=True,
)


@settings(max_examples=200)
@given(PATHS, st.randoms(), st.integers(1, 60), st.floats(0.0001, 0.1))
def test_an_outline_holds_every_module_once(paths: list[str], random: object, most: int, fold: float) -> None:
    rows = tuple(row(path, random.random()) for path in sorted(paths))  # type: ignore[attr-defined]
    lines, _ = outline(empty(modules=rows), most, fold)
    assert sum((line.row is not None) + line.folded for line in lines) == len(rows)
    whole = sum(r.self_seconds.value for r in rows)
    shown = 0.0
    for line in lines:
        shown += line.total if line.row is None or line.folded else line.row.self_seconds.value
    assert shown == pytest.approx(whole)
    assert max(map(len, repr(empty(modules=rows)).splitlines())) <= 100


@given(st.text(min_size=0, max_size=60), st.integers(4, 40))
def test_a_shortened_name_keeps_both_ends(name: str, room: int) -> None:
    short = shortened(name, room)
    assert len(short) <= room
    assert short == name or (name.startswith(short.partition("..")[0]) and ".." in short)


def test_tables_line_up() -> None:
    lines = columned("name", [("a long name", "short"), ("b",)], ["x", "figure"], [["1", "2"], ["10", "20"]])
    assert [line.rstrip() for line in lines] == [
        "name          x  figure",
        "-----------------------",
        "a long name   1       2",
        "b            10      20",
    ]


def test_a_trend_is_said_where_memory_grows() -> None:
    profile = gpt()
    assert profile.memory is not None
    assert "a call [" not in repr(profile)
    growing = replace(profile.memory, pattern="growing", slope=Estimate(2048.0, 1024.0, 3072.0))
    assert "growing (2.0 KiB a call [1.0 KiB, 3.0 KiB])" in " ".join(
        repr(replace(profile, memory=growing)).split()
    )
