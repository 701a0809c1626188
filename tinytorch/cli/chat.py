"""`tito chat`: talk to a language model; what was said stays in its cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tinytorch import console
from tinytorch.cli.speaking import opened, say_figures, speaking
from tinytorch.errors import GenerationError, ModelFileError

if TYPE_CHECKING:
    from tinytorch.caching.chat import Chat

_HELP = "/reset forgets what was said, /quit or Ctrl-D ends, Ctrl-C stops an answer."


@click.command(name="chat")
@speaking
@click.option("--system", help="What the model is told before the first message.")
def command(
    source: str,
    max_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    context: int,
    dtype: str,
    threads: int,
    system: str | None,
) -> None:
    """Talk to a model that has a chat template; answers appear as they are made.

    \b
    tito model get smollm2
    tito chat --temperature 0.7 --top-p 0.9
    """
    from tinytorch.caching.chat import Chat
    from tinytorch.caching.sampling import Sampling

    sampling = Sampling(temperature, top_k, top_p)
    language, decoder = opened(source, context, dtype, threads, prefixes=2)
    if language.chat is None or language.chat.template is None:
        raise ModelFileError(f"{source}: has no chat template; `tito generate` goes on with a text")
    chat = Chat(language, decoder, sampling, max_tokens, seed, system)
    console.notice(f"{source}: {_HELP}")
    while True:
        said = _asked()
        if said is None or said == "/quit":
            break
        if said == "/reset":
            chat.reset()
            console.notice("forgotten")
        elif said:
            _answer(chat, said)


def _asked() -> str | None:
    """The next message; None at the end of the input. Ctrl-C gives up the line."""
    if sys.stdin.isatty():
        console.stream("> ")
    try:
        line = sys.stdin.buffer.readline()
    except KeyboardInterrupt:
        console.say()
        return ""
    return line.decode("utf-8", "replace").strip() if line else None


def _answer(chat: Chat, said: str) -> None:
    """Say the answer; Ctrl-C ends it, and what was made of it counts as said. A message may be too long."""
    try:
        found = chat.say(said, console.stream)
    except GenerationError as error:
        console.get().complain(f"tito: {error}")
        return
    console.say()
    if found.finish == "interrupted":
        console.notice("(stopped)")
    say_figures(found, chat.decoder)
