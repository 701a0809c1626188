"""What `tito generate` and `tito chat` share: which model, how tokens are drawn, and the line of figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.caching.decoder import Decoder
    from tinytorch.caching.generate import Generation
    from tinytorch.caching.language import Language

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--model",
        "source",
        default="smollm2",
        show_default=True,
        metavar="FILE",
        help="A .gguf file, a .safetensors file of a GPT trained here, or smollm2 or gpt.",
    ),
    click.option(
        "--max-tokens", type=click.IntRange(0), default=256, show_default=True, help="At most so many."
    ),
    click.option("--temperature", type=float, default=0.0, show_default=True, help="0: the likeliest token."),
    click.option("--top-k", type=int, help="Draw from the so many likeliest tokens."),
    click.option("--top-p", type=float, help="Draw from the likeliest tokens that have this probability."),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Of the random numbers."),
    click.option(
        "--context", type=click.IntRange(1), default=2048, show_default=True, help="Positions to hold."
    ),
    click.option(
        "--cache",
        "dtype",
        type=click.Choice(["float32", "float16", "int8"]),
        default="float16",
        show_default=True,
        help="What keys and values are kept in.",
    ),
    click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with."),
)


def speaking(command: F) -> F:
    """Decorator: the options that both commands have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def opened(
    source: str, context: int, dtype: str, threads: int, prefixes: int = 0
) -> tuple[Language, Decoder]:
    """The model of a file or a name, and a decoder for it."""
    from tinytorch.caching.decoder import Decoder
    from tinytorch.caching.language import load_language
    from tinytorch.threads import set_num_threads

    set_num_threads(threads)
    language = load_language(source)
    capacity = min(context, language.model.context)
    return language, Decoder(language.model, capacity, dtype, prefixes=prefixes)


def say_figures(found: Generation, decoder: Decoder) -> None:
    """How fast it went, on standard error."""
    new = len(found.prompt_ids) - found.reused
    parts = [f"{len(found.ids)} tokens"]
    if found.tokens_per_second:
        parts.append(f"{found.tokens_per_second:,.1f} tokens/s")
    parts.append(f"prompt of {len(found.prompt_ids)} in {1e3 * found.prefill_seconds:,.0f} ms")
    if found.reused:
        parts[-1] += f", {new} of it new"
    parts.append(f"cache {console.quantity(decoder.cache.nbytes, 'B')}")
    if found.accepted is not None:
        parts.append(f"{100 * found.accepted:.0f} % of the draft's tokens stayed")
    console.notice(f"[{'; '.join(parts)}]")
