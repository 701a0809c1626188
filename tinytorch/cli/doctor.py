"""`tito doctor`: what is wrong with this machine or workspace, and how to mend it."""

from __future__ import annotations

import click

from tinytorch import console

MARGIN = 12  # columns of state and name


@click.command(name="doctor")
def command() -> None:
    """Look at Python, the packages, the machine and the workspace, and say what to mend.

    Exits with 1 where something must be mended.
    """
    from tinytorch.cli.check import columns
    from tinytorch.learn.doctor import examine
    from tinytorch.learn.report import under

    states = []
    for finding in examine():
        for line in under(f"{finding.state:<5} {finding.name}", finding.text, columns(), 17):
            console.say(line)
        if finding.cure:
            for line in under("", f"-> {finding.cure}", columns(), 17):
                console.say(line)
        states.append(finding.state)
    bad, notes = states.count("mend"), states.count("note")
    console.say()
    if bad:
        console.say(f"{bad} thing{'s' * (bad != 1)} to mend.")
        click.get_current_context().exit(1)
    console.say("Nothing to mend." if not notes else f"Nothing that must be mended; notes: {notes}.")
