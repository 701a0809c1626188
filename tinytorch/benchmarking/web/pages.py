"""Pages of the store as HTML: boards, entries, teams, rules and the museum; `links` says where they are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jinja2

from tinytorch.benchmarking.events import EVENTS, event
from tinytorch.benchmarking.museum import EXHIBITS
from tinytorch.benchmarking.result import BOARDS, Board, Division, Result
from tinytorch.benchmarking.store.boards import BoardView, Place, Row
from tinytorch.benchmarking.store.leaderboard import Leaderboard, Stored
from tinytorch.benchmarking.store.queue import Job
from tinytorch.benchmarking.text import figures_rows, ratios_rows
from tinytorch.benchmarking.web.plot import on_front, plot
from tinytorch.profiling.report import html

DIVISIONS: tuple[Division, ...] = ("open", "closed")
PAGE = 100
"""Rows of a board on one page."""
PLOTTED = 500
"""Entries in the plot at most, the best."""


class Links(Protocol):
    """Where pages are, for whoever shows them; `live` tells whether there are uploads."""

    live: bool

    def page(self, name: str) -> str:
        """The index, rules, museum, queue or upload page, or a static file."""

    def board(self, event: str, division: str, by: str, fingerprint: str = "", page: int = 1) -> str:
        """A board."""

    def entry(self, number: int) -> str:
        """The page of a record."""

    def team(self, name: str) -> str:
        """The history of a team."""


class Pages:
    """All pages of a store."""

    def __init__(self, board: Leaderboard, links: Links) -> None:
        self.store, self.links = board, links

    def render(self, template: str, **given: Any) -> str:
        """A page of a template, with what all pages have."""
        return _environment().get_template(template).render(links=self.links, events=EVENTS, **given)

    def index(self) -> str:
        """The events, with the best entries of each board."""
        boards = [self.store.board(name, division) for name in EVENTS for division in DIVISIONS]
        return self.render("index.html.jinja", boards=boards, count=len(self.store))

    def board(
        self, name: str, division: Division, by: Board = "overall", fingerprint: str = "", page: int = 1
    ) -> str:
        """A board: raises BenchmarkError for an unknown event."""
        one = event(name)
        view = self.store.board(one.name, division, by, fingerprint or None)
        pages = max(1, -(-len(view.places) // PAGE))
        page = min(max(page, 1), pages)
        best = set(on_front(one, view.places))
        shown = list(enumerate(view.places))[(page - 1) * PAGE : page * PAGE]
        labels = [place.row.summary.labels for _, place in shown]
        common = [one for one in (labels[0] if labels else ()) if all(one in other for other in labels)]
        return self.render(
            "board.html.jinja",
            event=one,
            view=view,
            shown=shown,
            common=common,
            labelled=any(len(other) > len(common) for other in labels),
            front=best,
            plot=plot(one, view.places[:PLOTTED], best),
            boards=BOARDS,
            divisions=DIVISIONS,
            machines=self.store.fingerprints(one.name, division),
            page=page,
            pages=pages,
        )

    def entry(self, number: int) -> str:
        """A result with its evidence; raises BenchmarkError where there is none."""
        stored = self.store.get(number)
        assert isinstance(stored, Stored), "it was found"
        result = self.store.result(number)
        one = event(result.event)
        figures = ratios = None
        if result.figures is not None and result.base is not None and result.ratios is not None:
            figures = figures_rows(result.base, result.figures, one.quality)
            ratios = [(name, ratio.estimate()) for name, ratio in ratios_rows(result.ratios)]
        return self.render(
            "entry.html.jinja",
            event=one,
            stored=stored,
            result=result,
            figures=figures,
            ratios=ratios,
            control=result.control.estimate() if result.control else None,
            key=self.store.key.public.text,
        )

    def team(self, name: str) -> str:
        """All results of a team."""
        return self.render("team.html.jinja", team=name, rows=self.store.history(name))

    def rules(self) -> str:
        """The rules."""
        return self.render("rules.html.jinja")

    def museum(self) -> str:
        """The museum of attacks."""
        return self.render("museum.html.jinja", exhibits=EXHIBITS)

    def upload(self, error: str = "", given: dict[str, str] | None = None) -> str:
        """The form, with what was wrong before."""
        return self.render("upload.html.jinja", error=error, given=given or {})

    def job(self, job: Job) -> str:
        """The state of an upload."""
        return self.render("job.html.jinja", job=job)

    def state(self, job: Job) -> str:
        """Only that part of it which changes."""
        return self.render("state.html.jinja", job=job)

    def queue(self, jobs: Sequence[Job]) -> str:
        """All uploads that wait or run."""
        return self.render("queue.html.jinja", jobs=jobs)

    def problem(self, status: int, text: str) -> str:
        """An error, as a page."""
        return self.render("problem.html.jinja", status=status, text=text)

    def style(self) -> str:
        """The style sheet of all pages."""
        return self.render("bench.css.jinja")


def numbers_of(store: Leaderboard) -> list[int]:
    """The numbers of all records that are results."""
    return [n for n in range(1, len(store) + 1) if isinstance(store.get(n).record, Result)]


@functools.cache
def _environment() -> jinja2.Environment:
    filters: dict[str, Callable[..., Any]] = {"ratio": _ratio, "percentage": lambda x: f"{100 * x:.2f} %"}
    return html.environment("tinytorch.benchmarking.web", **filters)


def _ratio(row: Row | Place | BoardView, by: Board = "overall") -> Any:
    """The ratio of a row on a board, as an estimate; None where it has none."""
    ratios = row.summary.ratios if isinstance(row, Row) else {}
    return ratios[by].estimate() if by in ratios else None
