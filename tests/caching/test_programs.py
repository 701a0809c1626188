"""A program file of a language model is decoded over a cache, and gives what the model gives."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.caching import Decoder, generate
from tinytorch.caching.programs import ProgramLanguage
from tinytorch.errors import ProgramError
from tinytorch.models import GPT, MLP
from tinytorch.nn.module import Module
from tinytorch.quantization.quantize import quantize
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


def gpt() -> GPT:
    return GPT(30, context=16, width=24, layers=2, heads=3, generator=Generator(5)).eval()


def graph_of(model: Module) -> Graph:
    with no_grad():
        return trace(model, (model.example_input,)).graph


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cuts", [(16,), (5, 1, 10), (1,) * 16])
def test_fed_in_pieces_it_gives_what_the_model_gives(compiled: bool, cuts: tuple[int, ...]) -> None:
    model = gpt()
    ids = Generator(2).randint(0, 30, (2, 16))
    with no_grad():
        wanted = model(ids).numpy()
    decoder = Decoder(ProgramLanguage(graph_of(model)), batch=2, compiled=compiled)
    found, begin = [], 0
    for size in cuts:
        found.append(decoder.feed(ids.numpy()[:, begin : begin + size], every=True))
        begin += size
    assert bool(decoder.why_eager) is False
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=1e-4, atol=1e-5)


def test_the_text_is_that_of_the_model() -> None:
    model = gpt()
    prompt = [3, 1, 4, 1, 5]
    ours = generate(Decoder(ProgramLanguage(graph_of(model))), prompt, 11, temperature=0, tokenizer=Ids()).ids
    theirs = generate(Decoder(model), prompt, 11, temperature=0, tokenizer=Ids()).ids
    assert ours == theirs


class Ids:
    """Ids as they are."""

    def encode(self, data: object, specials: bool = False) -> object:
        return data

    def decode(self, ids: list[int]) -> bytes:
        return bytes(ids)


def test_without_a_cache_a_shorter_text_is_read_too() -> None:
    model = gpt()
    ids = Generator(2).randint(0, 30, (3, 7))
    with no_grad():
        np.testing.assert_allclose(
            ProgramLanguage(graph_of(model))(ids).numpy(), model(ids).numpy(), rtol=1e-4, atol=1e-5
        )


def test_a_quantized_program_goes_over_the_cache() -> None:
    model = gpt()
    calibration = [Generator(7).randint(0, 30, (8, 16))]
    made = quantize(model, calibration, "int8", prefer="size", max_loss=1.0)
    made.example_input = model.example_input
    ids = Generator(2).randint(0, 30, (1, 16))
    with no_grad():
        wanted = made(ids).numpy()
    decoder = Decoder(ProgramLanguage(graph_of(made)))
    found = np.concatenate([decoder.feed(ids.numpy()[:, i : i + 1], every=True) for i in range(16)], 1)
    assert np.abs(found - wanted).mean() < 0.03 * wanted.std()


class Uncausal(GPT):
    """A GPT whose attention sees all of the text."""

    def forward(self, ids: Tensor, cache: object = None) -> Tensor:
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.blocks:
            x = x + block.attn(block.norm1(x), causal=False)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def test_other_programs_are_refused() -> None:
    with pytest.raises(ProgramError, match="a language model takes"):
        ProgramLanguage(graph_of(MLP((4, 3))))
    uncausal = Uncausal(30, context=16, width=24, layers=1, heads=3)
    with pytest.raises(ProgramError, match="another kind than causal"):
        ProgramLanguage(graph_of(uncausal))
