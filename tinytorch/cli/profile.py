"""`tito profile`: where a model's time, memory and work go; `diff` and `compare` set two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch import console
from tinytorch.cli.profile_compare import command as compare
from tinytorch.cli.profile_diff import command as diff

if TYPE_CHECKING:
    from tinytorch.profiling.load import Loaded
    from tinytorch.profiling.profile import Profile

FILE = click.Path(path_type=Path, dir_okay=False, writable=True)


class ProfileGroup(click.Group):
    """A group whose first word is a command, or else the model of the command `model`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; what is none is a model."""
        if args and args[0] not in self.commands:
            return "", self.commands["model"], args
        return super().resolve_command(ctx, args)


@click.group(cls=ProfileGroup)
def command() -> None:
    """Profile MODEL: time, memory and FLOPs by module, and what to do about them.

    MODEL is mlp, cnn, gpt, minilm, a .safetensors file, or path/to/file.py:object of your own (a model or any
    function; a variable example_input beside it is its input, a tuple for several).
    `tito profile MODEL --help` lists the options.
    """


command.add_command(compare)
command.add_command(diff)


@command.command(name="model", hidden=True)
@click.argument("model")
@click.option("--batch", type=int, help="Batch size of the input.")
@click.option("--seq", type=int, help="Length of the input's sequences.")
@click.option("--backward", is_flag=True, help="A pass and its gradients, not a pass alone.")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Passes to time.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads to compute with."
)
@click.option("--against", type=click.Choice(["torch"]), help="Beside the same model in PyTorch, in turns.")
@click.option("--html", type=FILE, help="Write the report as one page.")
@click.option("--json", "json_file", type=FILE, help="Write the profile for `tito profile diff`.")
@click.option("--trace", type=FILE, help="Write the ops in order for chrome://tracing and Perfetto.")
@click.option("--speedscope", type=FILE, help="Write the ops in order for speedscope.")
@click.option("--no-memory", is_flag=True, help="Leave the passes that measure memory out.")
def model_command(
    model: str,
    batch: int | None,
    seq: int | None,
    backward: bool,
    runs: int,
    threads: int,
    against: str | None,
    html: Path | None,
    json_file: Path | None,
    trace: Path | None,
    speedscope: Path | None,
    no_memory: bool,
) -> None:
    """Profile one model."""
    from tinytorch.errors import ProfilingError, TinyTorchError
    from tinytorch.nn.module import Module
    from tinytorch.profiling.load import load, located
    from tinytorch.threads import set_num_threads
    from tinytorch.training import require_writable

    files = list(filter(None, (html, json_file, trace, speedscope)))
    if against is not None and (files or backward):
        raise click.UsageError(
            "--against compares forward passes and prints a table: it takes no other output"
        )
    for path in files:
        require_writable(path)
    set_num_threads(threads)
    loaded = load(model, batch, seq)
    if isinstance(loaded.function, Module):
        loaded.function.train(backward)
    if against is not None:
        from tinytorch.profiling.pytorch.against import against_torch

        console.say(repr(against_torch(loaded.function, args=loaded.args, runs=runs)))
        return
    try:
        profile = _profile(loaded, backward, runs, not no_memory)
    except (TinyTorchError, OSError):
        raise
    except (Exception, SystemExit) as error:  # the user's own
        raise ProfilingError(f"{loaded.name}: {located(error, Path(model.rpartition(':')[0]))}") from error
    console.say(repr(profile))
    refusals = []
    for file, write in (
        (html, profile.to_html),
        (json_file, profile.to_json),
        (trace, profile.to_chrome_trace),
        (speedscope, profile.to_speedscope),
    ):
        if file is not None:
            try:
                write(file)
                console.notice(f"wrote {file}")
            except ProfilingError as error:
                refusals.append(str(error))
    if refusals:
        raise ProfilingError("; ".join(refusals))


def _profile(loaded: Loaded, backward: bool, runs: int, memory: bool) -> Profile:
    """Profile what was loaded; a model records for backward only if asked to, a function as it likes."""
    from tinytorch.nn.module import Module
    from tinytorch.ops.context import grad_mode
    from tinytorch.profiling.context import profile_model

    if loaded.is_torch:
        import torch

        from tinytorch.profiling.pytorch.module import profile_torch

        module: Any = loaded.function
        with torch.set_grad_enabled(backward):
            return profile_torch(
                module.train(backward), loaded.args or (), runs=runs, backward=backward, name=loaded.name
            )
    with grad_mode(backward or not isinstance(loaded.function, Module)):
        return profile_model(
            loaded.function, loaded.args, backward=backward, name=loaded.name, runs=runs, memory=memory
        )
