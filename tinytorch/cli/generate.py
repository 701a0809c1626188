"""`tito generate`: a language model goes on with a text."""

from __future__ import annotations

import sys

import click

from tinytorch import console
from tinytorch.cli.speaking import opened, say_figures, speaking


@click.command(name="generate")
@click.argument("text", required=False)
@speaking
@click.option("--stop", multiple=True, help="End where this text comes; several may be given.")
@click.option("--draft", metavar="FILE", help="A small model of the same tokens that proposes them.")
def command(
    text: str | None,
    source: str,
    max_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    context: int,
    dtype: str,
    threads: int,
    stop: tuple[str, ...],
    draft: str | None,
) -> None:
    """Go on with TEXT, or with what comes on standard input, and show each token as it is made.

    \b
    tito generate "The capital of France is" --max-tokens 32
    """
    from tinytorch.caching.generate import generate

    prompt: str | bytes = sys.stdin.buffer.read() if text is None else text
    language, decoder = opened(source, context, dtype, threads)
    small = opened(draft, context, dtype, threads)[1] if draft else None
    found = generate(
        decoder,
        language.ids(prompt),
        max_tokens,
        temperature,
        top_k,
        top_p,
        seed,
        stop,
        console.stream,
        tokenizer=language.tokenizer,
        ends=language.ends,
        draft=small,
    )
    console.say()
    say_figures(found, decoder)
