"""The group of commands: help without imports, one line for an error, an exit code for each way to end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import click

from tinytorch import console
from tinytorch.errors import TinyTorchError

# name: (module whose `command` it is, one line of help, shown without importing the module)
COMMANDS = {
    "journey": ("tinytorch.cli.journey", "Train an MLP, a CNN and a GPT, make them faster and smaller."),
    "train": ("tinytorch.cli.train", "Train one model on one data set."),
    "profile": ("tinytorch.cli.profile", "See where a model's time, memory and work go."),
    "roofline": ("tinytorch.cli.roofline", "Show this machine's peak FLOP/s and memory bandwidths."),
    "timeit": ("tinytorch.cli.timeit", "Time a piece of code, alone or beside another."),
    "ladder": ("tinytorch.cli.ladder", "Climb from loops in Python to all cores, one idea at a time."),
    "quantize": ("tinytorch.cli.quantize", "Put a model on codes of eight or four bits."),
    "prune": ("tinytorch.cli.prune", "Set most weights of a model to zero, or take whole channels."),
    "distill": ("tinytorch.cli.distill", "Train a small model on what a larger one says."),
    "compress": ("tinytorch.cli.compress", "Prune, share and encode a model until a budget is met."),
    "optimize": ("tinytorch.cli.optimize", "Make an entry to TinyMLPerf that passes its gate."),
    "bench": ("tinytorch.cli.bench", "TinyMLPerf: measure an entry, submit it, see the boards."),
    "generate": ("tinytorch.cli.generate", "Have a language model go on with a text."),
    "chat": ("tinytorch.cli.chat", "Talk to a language model."),
    "cost": ("tinytorch.cli.cost", "Predict latency and cost of a model, here and on other devices."),
    "data": ("tinytorch.cli.data", "List, describe and fetch data sets."),
    "model": ("tinytorch.cli.model", "List and fetch models that others trained."),
    "cache": ("tinytorch.cli.cache", "List or clear the compiled programs that are kept on disk."),
}
# Those of the course, shown below the others
COURSE = {
    "begin": ("tinytorch.cli.begin", "Make a folder your workspace."),
    "start": ("tinytorch.cli.start", "Start a lesson: its exercises, for you to write."),
    "check": ("tinytorch.cli.check", "Check what you wrote, up to the first thing that is wrong."),
    "watch": ("tinytorch.cli.watch", "Check again each time you save."),
    "hint": ("tinytorch.cli.hint", "Get one more hint for the exercise at hand."),
    "solution": ("tinytorch.cli.solution", "See how the package does it, once you have."),
    "status": ("tinytorch.cli.status", "See the road: what is done and what comes next."),
    "run": ("tinytorch.cli.run", "Run a program on your code."),
    "milestone": ("tinytorch.cli.milestone", "Train a model of history on your code."),
    "notebook": ("tinytorch.cli.notebook", "Write a lesson as a notebook."),
    "reset": ("tinytorch.cli.reset", "Put stubs back; what you wrote is kept as a copy."),
    "doctor": ("tinytorch.cli.doctor", "See what is wrong with this machine, and how to mend it."),
    "grade": ("tinytorch.cli.grade", "Grade many workspaces, each in a sandbox."),
}
EVERY = {**COMMANDS, **COURSE}
ON_PACKAGE = {"train", "profile", "timeit"}  # which a learner may take to run what they wrote
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


@dataclass
class Settings:
    """What the options before the command say."""

    debug: bool = False


class LazyGroup(click.Group):
    """A group that knows the names and one-line helps of its commands and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, the main job first."""
        return list(EVERY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None for a name that is not in the table."""
        if cmd_name not in EVERY:
            return None
        command = import_module(EVERY[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their lines from the table."""
        for title, commands in (("Commands", COMMANDS), ("The course", COURSE)):
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def _in_workspace() -> bool:
    """Whether the current folder lies in a workspace whose code does not run here."""
    from tinytorch.learn.workspace import here

    return "tito_graft" not in sys.modules and here() is not None


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Write the version of the installed distribution and leave."""
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        console.say(f"tito {version('tinytorch-lab')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version."
)
@click.option("--quiet", "-q", is_flag=True, help="Show results and errors only.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def tito(settings: Settings, quiet: bool, debug: bool) -> None:
    """TinyTorch: a machine-learning framework to read, trust and use.

    Start with "tito journey", or build it yourself: "tito begin".
    """
    console.set_quiet(quiet)
    settings.debug = debug
    if click.get_current_context().invoked_subcommand in ON_PACKAGE and _in_workspace():
        name = click.get_current_context().invoked_subcommand
        console.get().notice(f"tito: this runs the package; on your code: tito run -m tinytorch {name} ...")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tito` and leave with 0 (done), 1 (an error, in one line), 2 (wrong usage) or 130 (Ctrl-C)."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run `tito` with these arguments and return its exit code."""
    settings = Settings()
    try:
        code = tito.main(list(arguments), prog_name="tito", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.get().complain("tito: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`tito ... | head`): standard output goes nowhere, so closing it is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (TinyTorchError, OSError) as error:
        if settings.debug:
            raise
        console.get().complain(f"tito: {' '.join(str(error).split())}")
        return 1
