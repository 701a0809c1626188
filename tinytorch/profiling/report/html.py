"""Pages: templates with everything in them escaped, and the filters that spell their figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinytorch.profiling import words
from tinytorch.profiling.report import chart

if TYPE_CHECKING:
    import jinja2

SHARED = "tinytorch.profiling.report"


def environment(package: str, **filters: Callable[..., Any]) -> jinja2.Environment:
    """The templates of `package` and, behind them, those that all pages share, with further filters if given.

    Everything is escaped, what cannot be shown is replaced, and a name that is not given is an error.

    >>> page = environment("tinytorch.profiling.report").from_string("{{ name }}: {{ time | seconds }}")
    >>> page.render(name="<b>", time=0.0123)
    '&lt;b&gt;: 12.3 ms'
    """
    import jinja2
    from markupsafe import Markup

    packages = dict.fromkeys((package, SHARED))
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=True,
        finalize=lambda value: words.printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        seconds=words.seconds,
        timed=words.timed,
        percent=words.percent,
        shared=words.shared,
        times=words.times,
        count=words.count,
        figure=words.figure,
        size=words.size,
        work=words.work,
        rate=words.rate,
        bandwidth=words.bandwidth,
        svg=lambda element: Markup(chart.markup(element)),
        **filters,
    )
    return made
