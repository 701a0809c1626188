"""`tito begin`: a folder becomes a workspace of the course."""

from __future__ import annotations

from pathlib import Path

import click

from tinytorch import console


@click.command(name="begin")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Make DIR (by default the folder you are in) a workspace of the course.

    It gets a tito.toml and a .gitignore, and nothing else. What is there stays.
    """
    from tinytorch.learn.course import course
    from tinytorch.learn.workspace import begin

    lessons = course().lessons
    made = begin(folder)
    console.say(f"made a workspace: {made.root}")
    move = "" if made.root == Path.cwd() else f'cd "{folder}", then: '
    console.say(f"Next: {move}tito start {lessons[0].label if lessons else '01'}")
