"""Pages in a real browser: no complaint, no request, nothing cut off, at two widths, in light and in dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.profiling.browser import CHROMIUM, Browser
from tests.profiling.profiles import gpt, one_run, plain_callable
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.report.page import fragment, page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
OUTSIDE = '<p class="chart note">outside</p><table><tr><td>cell</td></tr></table>'
NOTEBOOK = (
    '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>notebook</title><body>{outside}{fragment}{fragment}</body>"
)
# every text of every visible picture must lie within it, and no element may reach over the page's edge
CUT_OFF = """
[...document.querySelectorAll("svg.chart")].filter(svg => svg.getClientRects().length).flatMap(svg => {
  const paper = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text, circle, rect, polygon, path")].filter(part => {
    const box = part.getBoundingClientRect();
    return box.left < paper.left - 1 || box.right > paper.right + 1 ||
           box.top < paper.top - 1 || box.bottom > paper.bottom + 1;
  }).map(part => part.textContent || part.outerHTML);
})
"""
COLOURS = """
(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const found = {paper};
  for (const [name, selector] of Object.entries({ink: ".verdict", muted: ".kicker"}))
    found[name] = contrast(paper, light(getComputedStyle(document.querySelector(selector)).color));
  const svg = document.querySelector("svg.chart text.tick");
  if (svg) found.tick = contrast(paper, light(getComputedStyle(svg).fill));
  for (const cell of document.querySelectorAll(".icicle span")) {
    const style = getComputedStyle(cell), name = "cell " + cell.className;
    found[name] = contrast(light(style.backgroundColor), light(style.color));
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


PROFILES = {
    "gpt": gpt(),
    "deep": gpt(12, backward=True),
    "callable": plain_callable(),
    "one run": one_run(),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_page_renders(
    profile: Profile, size: tuple[int, int], dark: bool, browser: Browser, folder: Path
) -> None:
    file = folder / "page.html"
    file.write_text(page(profile), encoding="utf-8")
    shown = browser.show(file, *size, dark)
    assert shown.complaints == []
    assert shown.requests == [file.as_uri()]
    assert browser.run("innerWidth") == size[0]
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    assert browser.run(CUT_OFF) == []
    colours = browser.run(COLOURS)
    assert (colours.pop("paper") < 0.05) == dark
    assert min(colours.values()) >= 4.5
    assert browser.run("document.scripts.length") == 0


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_one_drawing_of_each_chart_is_visible(size: tuple[int, int], browser: Browser, folder: Path) -> None:
    file = folder / "page.html"
    file.write_text(page(gpt()), encoding="utf-8")
    browser.show(file, *size, False)
    visible = '[...document.querySelectorAll("svg.chart")].filter(s => s.getClientRects().length)'
    drawn = browser.run(f'{visible}.map(s => Number(s.getAttribute("viewBox").split(" ")[2]))')
    assert len(drawn) == 4
    assert all((width == 360) == (size[0] == 390) for width in drawn)
    smallest = browser.run(
        f"Math.min(...{visible}.map(s => 11 * s.getBoundingClientRect().width / s.viewBox.baseVal.width))"
    )
    assert smallest >= 9  # pixels of the smallest letters


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_a_fragment_leaves_the_notebook_as_it_was(
    size: tuple[int, int], browser: Browser, folder: Path
) -> None:
    looks = """
    ["body", "p", "td", "table"].map(name => {
      const style = getComputedStyle(document.querySelector(name));
      const keys = ["font", "color", "backgroundColor", "padding", "margin", "border"];
      return keys.map(key => style[key]).join("|");
    })
    """
    seen = []
    for inner in ("", fragment(gpt())):
        file = folder / "notebook.html"
        file.write_text(NOTEBOOK.format(outside=OUTSIDE, fragment=inner), encoding="utf-8")
        shown = browser.show(file, *size, False)
        assert shown.complaints == []
        assert shown.requests == [file.as_uri()]
        assert browser.run("document.documentElement.scrollWidth") <= size[0]
        seen.append(browser.run(looks))
    assert seen[0] == seen[1]
    assert browser.run(CUT_OFF) == []
    own = 'getComputedStyle(document.querySelector(".tinytorch-profile"))'
    assert browser.run(f"{own}.backgroundColor") == "rgb(255, 255, 255)"
    assert (
        browser.run('getComputedStyle(document.querySelector(".icicle span.compute")).position') == "absolute"
    )


def test_the_browser_would_tell(browser: Browser, folder: Path) -> None:
    """A page with all that the other tests look for: each of them is seen."""
    file = folder / "bad.html"
    file.write_text(
        '<body style="background:#fff"><script>console.log("spoke"); missing()</script>'
        '<img src="none.png"><div style="width:3000px">wide</div>'
        '<svg class="chart" width="10" height="10" style="overflow:visible"><text x="50">out</text></svg>'
    )
    shown = browser.show(file, 390, 844, True)
    assert any("spoke" in complaint for complaint in shown.complaints)
    assert any("missing is not defined" in complaint for complaint in shown.complaints)
    assert any(request.endswith("none.png") for request in shown.requests)
    assert browser.run("document.documentElement.scrollWidth") > 390
    assert browser.run(CUT_OFF) == ["out"]
