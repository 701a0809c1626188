"""The tokenizer and the chat template of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinytorch.errors import DataError, ModelFileError
from tinytorch.models.gguf import GGUF
from tinytorch.text.merges import MergesTokenizer

_CONTROL, _USER = 3, 4
"""Types of tokens that stand for themselves."""


@dataclass(frozen=True)
class ChatText:
    """What a file says about text: its tokenizer, which ids end one, and how a chat is written."""

    tokenizer: MergesTokenizer
    ends: tuple[int, ...]
    begin: int | None
    """The id that a text begins with, where there is one."""
    template: str | None

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A chat, each message with its "role" and "content", as the text that an answer follows.

        Raises ModelFileError where there is no template, or it does not work.
        """
        from tinytorch.models.chat_template import render

        if self.template is None:
            raise ModelFileError("this model has no chat template: use `tito generate`")
        return render(
            self.template, messages, bos_token=self._name(self.begin), eos_token=self._name(self.ends[0])
        )

    def _name(self, id: int | None) -> str:
        return "" if id is None else self.tokenizer.tokens[id]


def read_text(file: GGUF) -> ChatText:
    """Tokenizer, ids that end a text, and chat template of a file; raises ModelFileError."""
    kind = file.get("tokenizer.ggml.model", str)
    if kind != "gpt2":
        raise ModelFileError(
            f"{file.path}: a tokenizer of the kind {kind[:40]!r}; gpt2, byte-level BPE, is read"
        )
    tokens = _texts(file, "tokenizer.ggml.tokens")
    types = file.get("tokenizer.ggml.token_type", list, [1] * len(tokens))
    rows = file.tensors["token_embd.weight"].shape[0] if "token_embd.weight" in file.tensors else len(tokens)
    if rows != len(tokens):
        raise ModelFileError(f"{file.path}: {len(tokens)} tokens, but {rows} rows of the embedding")
    if len(types) != len(tokens):
        raise ModelFileError(f"{file.path}: {len(tokens)} tokens, but {len(types)} types of tokens")
    specials = [i for i, one in enumerate(types) if one in (_CONTROL, _USER)]
    split = file.get("tokenizer.ggml.pre", str, "default")
    try:
        tokenizer = MergesTokenizer(tokens, _texts(file, "tokenizer.ggml.merges"), specials, split)
    except DataError as error:
        raise ModelFileError(f"{file.path}: {error}") from None

    def id_of(name: str) -> int | None:
        found = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if found is not None and not (type(found) is int and 0 <= found < len(tokens)):
            raise ModelFileError(f"{file.path}: the {name} token is {str(found)[:40]}, which is no id")
        return found

    ends = [i for i in (id_of("eos"), id_of("eot")) if i is not None]
    ends += [
        tokenizer.specials[name]
        for name in ("<|im_end|>", "<|endoftext|>", "<|eot_id|>")
        if name in tokenizer.specials
    ]
    begins = file.metadata.get("tokenizer.ggml.add_bos_token", False) is True
    template = file.metadata.get("tokenizer.chat_template")
    if not ends:
        raise ModelFileError(f"{file.path}: no token ends a text")
    return ChatText(
        tokenizer,
        tuple(dict.fromkeys(ends)),
        id_of("bos") if begins else None,
        template if isinstance(template, str) else None,
    )


def _texts(file: GGUF, key: str) -> list[str]:
    found: list[str] = file.get(key, list)
    if not found or not all(isinstance(one, str) for one in found):
        raise ModelFileError(f"{file.path}: {key} is no list of text")
    return found
