"""A chat over a tiny model: what is kept, what is left out when it grows, and what an error leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.caching.small import lively
from tests.models import gguf_files
from tinytorch.caching import Decoder, generate
from tinytorch.caching.chat import Chat
from tinytorch.caching.generate import Bytes
from tinytorch.caching.language import Language, load_language
from tinytorch.caching.prefix import common_length
from tinytorch.caching.sampling import Sampling
from tinytorch.errors import CheckpointError, GenerationError, ModelFileError
from tinytorch.models import GPT, MLP, save_weights


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Language:
    path = tmp_path_factory.mktemp("chat") / "tiny.gguf"
    gguf_files.tiny(path, context=160, layers=1)
    return load_language(path)


def chat_of(language: Language, capacity: int = 160, **settings: Any) -> Chat:
    decoder = Decoder(language.model, capacity, compiled=False, page=8, prefixes=2)
    sampling = Sampling(settings.pop("temperature", 0.0))
    return Chat(language, decoder, sampling, **{"max_tokens": 8, **settings})


def roles(chat: Chat) -> str:
    """The first letters of who said what."""
    return "".join(message["role"][0] for message in chat.messages)


def test_a_prompt_is_the_chat_by_its_template(language: Language) -> None:
    chat = chat_of(language, system="low")
    first = chat.say("the low")
    expected = (
        "<|im_start|>system\nlow<|im_end|>\n<|im_start|>user\nthe low<|im_end|>\n<|im_start|>assistant\n"
    )
    assert language.tokenizer.decode(first.prompt_ids).decode() == expected
    assert chat.messages == [
        {"role": "system", "content": "low"},
        {"role": "user", "content": "the low"},
        {"role": "assistant", "content": first.text},
    ]
    decoder = Decoder(language.model, compiled=False)
    again = generate(decoder, first.prompt_ids, 8, 0, tokenizer=language.tokenizer, ends=language.ends)
    assert again.ids == first.ids


def test_only_what_is_new_is_read(language: Language) -> None:
    chat = chat_of(language)
    first = chat.say("a")
    second = chat.say("b")
    held = first.prompt_ids + first.ids
    assert len(first.prompt_ids) <= second.reused < len(held)
    assert second.reused == common_length(held[:-1], second.prompt_ids)


def test_pieces_are_the_answer_and_a_seed_repeats_it(language: Language) -> None:
    answers = []
    for _ in range(2):
        pieces: list[str] = []
        found = chat_of(language, temperature=30.0, seed=4).say("a", pieces.append)
        assert "".join(pieces) == found.text
        answers.append(found.ids)
    assert answers[0] == answers[1]
    assert answers[0] != chat_of(language, temperature=30.0, seed=5).say("a").ids


@pytest.mark.parametrize("system", [None, "low"])
def test_the_oldest_messages_are_left_out_when_the_chat_outgrows_the_cache(
    language: Language, system: str | None
) -> None:
    assert language.chat is not None
    chat, said, left_out = chat_of(language, 128, system=system), list[dict[str, str]](), set[int]()
    first = chat.messages[:]
    for i in range(12):
        found = chat.say(f"message {i}")
        said += chat.messages[-2:]
        kept = len(chat.messages) - len(first)
        assert chat.messages == first + said[-kept:]
        assert said[-2]["content"] == f"message {i}"
        assert kept % 2 == 0
        assert len(found.prompt_ids) + 8 <= 128
        assert found.prompt_ids == language.ids(language.chat.prompt(chat.messages[:-1]))
        if kept < len(said):
            more = first + said[-kept - 2 : -1]
            assert len(language.ids(language.chat.prompt(more))) + 8 > 128, "as many as fit stay"
        left_out.add(len(said) - kept)
    assert len(left_out) > 5


@pytest.mark.parametrize("system", [None, "low"])
def test_a_message_that_does_not_fit_leaves_the_chat_as_it_was(
    language: Language, system: str | None
) -> None:
    chat = chat_of(language, 128, system=system)
    for i in range(3):
        chat.say(f"{i}")
    before = [dict(message) for message in chat.messages]
    with pytest.raises(GenerationError, match="a prompt of .* tokens, and the cache holds 128"):
        chat.say("x" * 300)
    assert chat.messages == before
    assert chat.say("low").reused > 0
    assert chat.messages[: len(before)] == before or len(chat.messages) <= len(before) + 2


def test_reset_forgets_all_but_what_the_model_is_told(language: Language) -> None:
    chat = chat_of(language, system="low")
    first = chat.say("a").ids
    chat.say("b")
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "low"}]
    assert chat.say("a").ids == first


def test_what_was_said_before_an_interrupt_counts_as_said(language: Language) -> None:
    chat, pieces = chat_of(language, temperature=30.0, seed=1, max_tokens=40), list[str]()

    def stream(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    found = chat.say("a", stream)
    assert found.finish == "interrupted"
    assert chat.messages[-1] == {"role": "assistant", "content": "".join(pieces)}
    assert chat.say("b").finish != "interrupted"
    assert roles(chat) == "uaua"


def test_an_error_of_the_listener_leaves_the_chat_as_it_was(language: Language) -> None:
    chat = chat_of(language)

    def broken(piece: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        chat.say("a", broken)
    assert chat.messages == []


@pytest.mark.parametrize("template", [None, "{{ nothing.at.all }}", "{% for %}"])
def test_a_template_that_is_missing_or_broken_leaves_the_chat_as_it_was(
    language: Language, template: str | None
) -> None:
    assert language.chat is not None
    chat = chat_of(replace(language, chat=replace(language.chat, template=template)))
    with pytest.raises(ModelFileError, match="chat template"):
        chat.say("a")
    assert chat.messages == []


def test_a_model_without_any_chat_is_refused() -> None:
    model = lively(GPT(vocab_size=256, context=32, width=16, layers=1, heads=2), 0)
    chat = chat_of(Language("mine", model, Bytes()), 32)
    with pytest.raises(ModelFileError, match="mine: has no chat template"):
        chat.say("a")


# ---------------------------------------------------------------- models by name and file


def test_a_file_of_weights_is_a_language_model_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    model = lively(GPT(vocab_size=256, context=32, width=16, layers=1, heads=2), 0)
    save_weights(model, path)
    found = load_language(path)
    assert (found.ids("a\u00e9"), found.ends, found.chat) == ([97, 195, 169], (), None)
    np.testing.assert_array_equal(found.model.state_dict()["wte.weight"].numpy(), model.wte.weight.numpy())


def test_other_models_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlp.safetensors"
    save_weights(MLP((4, 3)), path)
    with pytest.raises(CheckpointError, match="no language model of bytes: it holds MLP"):
        load_language(path)
    with pytest.raises(ModelFileError, match="nothing: there is no such file; by name there are: gpt"):
        load_language("nothing")


def test_the_token_that_a_text_begins_with_comes_once(language: Language) -> None:
    told = replace(language, begin=language.tokenizer.encode("<|im_start|>", specials=True)[0])
    assert told.ids("low") == [told.begin, *language.ids("low")]
    assert told.ids("<|im_start|>low") == told.ids("low")
