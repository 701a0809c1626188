"""`tito run`: any program, on the code of the workspace."""

from __future__ import annotations

import click

from tinytorch import console


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, program: tuple[str, ...]) -> None:
    """Run a program on your code: `tito run script.py ARGUMENTS`, or `tito run -m module`.

    What you have written in the workspace stands in the place of the package's; what you have not started
    runs as the package has it.
    """
    from tinytorch.learn.run import Ran, run_program
    from tinytorch.learn.workspace import find

    ran: Ran = []
    code = run_program(program, find().pieces(), ran)
    files = {file for _, file, _ in ran}
    if ran:
        many = f"{len(ran)} function{'s' if len(ran) > 1 else ''} of yours"
        console.get().notice(f"tito: ran {many} in {len(files)} file{'s' if len(files) > 1 else ''}")
    elif code == 0:
        console.get().notice("tito: ran none of your functions; the package's ran in their place")
    context.exit(code)
