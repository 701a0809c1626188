"""`tito notebook`: a lesson as a notebook."""

from __future__ import annotations

import click

from tinytorch import console


@click.command()
@click.argument("lesson")
def command(lesson: str) -> None:
    """Write LESSON ("6", "06" or "autograd") as a notebook into work/.

    It has the lesson's text, its snippets and a cell for each exercise. Running such a cell keeps what it
    holds in the work file and checks it. Needs the extra `notebook`.
    """
    from tinytorch.learn.course import course
    from tinytorch.learn.notebook import write_notebook
    from tinytorch.learn.workspace import find

    workspace = find()
    path = write_notebook(course().lesson(lesson), workspace)
    console.say(f"Wrote {workspace.shown(path)}.")
    console.say("Open it with Jupyter (pip install notebook) or an editor that shows notebooks, with the")
    console.say("Python of this environment, and run its first cell first.")
