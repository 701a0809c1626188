"""`tito watch`: check again whenever a work file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from tinytorch import console

PAUSE = 0.5  # seconds between two looks at the files


@click.command(name="watch")
@click.argument("lesson", required=False)
@click.option("--exercise", metavar="NAME", help="Check this exercise alone.")
def command(lesson: str | None, exercise: str | None) -> None:
    """Check LESSON now and again each time you save one of your work files; Ctrl-C ends it.

    Without LESSON it is the one that you saved last. Files are looked at every half second, which works
    on network drives and shared folders as well.
    """
    from tinytorch.cli.check import check
    from tinytorch.errors import LearnError
    from tinytorch.learn.course import course
    from tinytorch.learn.workspace import find

    workspace = find()
    chosen = course().lesson(lesson) if lesson is not None else workspace.current()

    def files() -> list[Path]:
        upto = course().until(chosen) if lesson is not None else course().lessons
        return [workspace.file(one) for one in upto]

    try:
        for number, _ in enumerate(saves(files)):
            if number:
                console.say(f"\n---- saved at {time.strftime('%H:%M:%S')} ----")
            try:
                check(workspace, chosen if lesson is not None else workspace.current(), exercise)
            except (LearnError, OSError) as error:  # such as a file that an editor moves away as it saves
                if not number:
                    raise
                console.say(f"{error}")
            console.say("Watching; Ctrl-C ends it.")
    except KeyboardInterrupt:
        console.say("\nNo longer watching.")


def saves(files: Callable[[], list[Path]], pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Yield at once, and then each time the files have changed and then been still for one look."""
    from tinytorch.learn.workspace import stamps

    before = stamps(files())
    yield
    while True:
        pause(PAUSE)
        now = stamps(files())
        if now == before:
            continue
        while True:  # an editor may write in several steps
            pause(PAUSE)
            later = stamps(files())
            if later == now:
                break
            now = later
        before = now
        yield
