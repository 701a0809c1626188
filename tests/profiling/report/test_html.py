"""The page and the notebook's fragment: well formed, self-contained, escaped, with the profile's figures."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import pytest

from tests.journey.html_check import Page
from tests.profiling.profiles import HOSTILE, gpt, one_run, plain_callable
from tinytorch.profiling import words
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.report import html
from tinytorch.profiling.report.icicle import NARROWEST, icicle
from tinytorch.profiling.report.outline import verdict
from tinytorch.profiling.report.page import fragment, page

PROFILES = {
    "gpt": gpt(),
    "backward": gpt(12, backward=True),
    "one run": one_run(),
    "callable": plain_callable(),
    "nothing": Profile("f", "callable", "callable", "", {}, {}, None, None, 0, 0, 0, 1.0, (), (), ()),
    "no time": replace(gpt(), timing=None, overhead=None, insights=(), notes=()),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_pages_are_well_formed_and_need_nothing_else(profile: Profile) -> None:
    for text in (page(profile), fragment(profile)):
        found = Page(text)
        assert found.problems == []
        assert "script" not in found.tags
        assert " id=" not in text
        assert "nan" not in found.words.split()


def test_the_page_holds_what_the_profile_says(tmp_path: Path) -> None:
    profile = gpt()
    profile.to_html(tmp_path / "p.html")
    said = Page((tmp_path / "p.html").read_text(encoding="utf-8")).words
    assert verdict(profile).removeprefix("small GPT: a forward") in said
    assert profile.timing is not None
    for figure in (
        words.seconds(profile.timing.p50.value),
        words.size(profile.memory.peak if profile.memory else 0),
        words.rate(80e9),
        "p99 needs 368",
        *(insight.text for insight in profile.insights),
        *profile.notes,
        *profile.environment.values(),
        "tinytorch/ops/matmul.py:41",
    ):
        assert figure in said
    for row in profile.modules:
        assert f"{row.self_seconds.value * 1e6:.2f}" in said or not row.self_seconds.value


def test_names_are_text_and_nothing_else() -> None:
    profile = replace(gpt(), name=HOSTILE, notes=("\x1b<img src=x onerror=alert(1)>",))
    for text in (page(profile), profile._repr_html_()):
        assert "<script" not in text
        assert "<img" not in text
        assert "\x1b" not in text
        assert HOSTILE in Page(text).words


def test_pictures_are_described_and_tables_captioned() -> None:
    text = page(gpt())
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 2 * 4
    for picture in pictures:
        svg = ElementTree.fromstring(picture)
        assert [child.tag for child in svg][:2] == ["title", "desc"]
        assert all(child.text for child in list(svg)[:2])
        assert svg.attrib["role"] == "img"
    assert text.count("<table") == text.count("<caption")
    assert text.count('role="img" aria-label=') == 1


def test_a_long_tree_is_folded_and_there_in_full() -> None:
    text = page(gpt(12))
    assert "All 139 modules" in text
    assert text.count('<th scope="row" style') > 139


def test_a_fragment_styles_nothing_outside() -> None:
    text = fragment(gpt())
    style = text.partition("<style>")[2].partition("</style>")[0]
    depth, outside = 0, ""
    for letter in style:
        if depth == 0 and letter != "}":
            outside += letter
        depth += {"{": 1, "}": -1}.get(letter, 0)
    assert depth == 0
    assert outside.split() == [".tinytorch-profile", "{"]
    assert ":root" not in text
    assert "&amp; {" not in text


def test_templates_refuse_names_that_are_not_given() -> None:
    made = html.environment("tinytorch.profiling.report", shout=str.upper)
    assert made.from_string("{{ 'a<b' | shout }}").render() == "A&lt;B"
    with pytest.raises(jinja2.UndefinedError):
        made.from_string("{{ missing }}").render()
    assert made.from_string("{{ 1536 | size }} {{ 2e9 | work }}").render() == "1.5 KiB 2.00 GFLOP"
    assert made.get_template("palette.css.jinja").render().startswith(":root {")


def test_the_icicle_is_the_tree() -> None:
    profile = gpt()
    cells, left_out = icicle(profile)
    whole = sum(row.self_seconds.value for row in profile.modules)
    block = sum(r.self_seconds.value for r in profile.modules if r.path.startswith("blocks.2."))
    found = next(cell for cell in cells if cell.told.startswith("blocks.2 ("))
    assert found.width == pytest.approx(block / whole)
    assert (found.depth, found.tone) == (2, "")
    coloured = sum(cell.width for cell in cells if cell.tone)
    assert 1 - coloured <= left_out * NARROWEST
    for depth in range(1 + max(cell.depth for cell in cells)):
        row = sorted((cell for cell in cells if cell.depth == depth), key=lambda cell: cell.left)
        for before, after in pairwise(row):
            assert before.left + before.width <= after.left + 1e-9
        assert row[-1].left + row[-1].width <= 1 + 1e-9
    assert icicle(plain_callable()) == ([], 0)
