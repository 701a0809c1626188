"""`tito reset`: a lesson, or one exercise of it, starts over; a copy of the file is kept."""

from __future__ import annotations

import click

from tinytorch import console


@click.command(name="reset")
@click.argument("lesson")
@click.option("--exercise", metavar="NAME", help="Start this exercise over, and no other.")
def command(lesson: str, exercise: str | None) -> None:
    """Start LESSON over: its work file becomes what "tito start" writes.

    First the file is copied to work/backups/, under a name with the date and time.
    """
    from tinytorch.errors import LearnError
    from tinytorch.learn.course import course
    from tinytorch.learn.progress import load
    from tinytorch.learn.stubs import current_head, paste, stub, stub_file, with_stubs
    from tinytorch.learn.workspace import find, read_text, require_extra, write_text

    require_extra()
    workspace = find()
    chosen = course().lesson(lesson)
    path = workspace.file(chosen)
    if not workspace.started(chosen):
        raise LearnError(f'lesson {chosen.label} is not started; "tito start {chosen.label}" does that')
    progress = load(workspace)
    if exercise is None:
        again = chosen.exercises
        text, encoding = stub_file(chosen), "utf-8"
    else:
        again = (chosen.exercise(exercise),)
        written = workspace.written(chosen)
        text, encoding = read_text(path)
        if again[0].name in written:
            text = paste(text, again[0], stub(again[0]))
        else:
            text = with_stubs(text, chosen, again)
    copy = workspace.back_up(chosen)
    write_text(path, text, encoding)
    for one in again:
        progress.passed.pop(one.id, None)
        progress.heads[one.id] = current_head(one)
    progress.save()
    console.say(f"kept a copy: {workspace.shown(copy)}")
    what = again[0].name if exercise is not None else f"all {len(again)} exercises"
    console.say(f"{workspace.shown(path)}: {what} as at the start")
    console.say("to take your text back, copy that copy over it")
    console.say(f"Next: tito check {chosen.label}")
