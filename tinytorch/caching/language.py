"""Language models by name or file: with their tokenizer, the ids that end a text, and their chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinytorch.caching.generate import Bytes, Tokenizer
from tinytorch.errors import CheckpointError, ModelFileError
from tinytorch.models import GPT, load_pretrained, load_weights
from tinytorch.models.fetch import OTHERS, locate
from tinytorch.models.gguf import GGUF
from tinytorch.models.gguf_text import ChatText, read_text
from tinytorch.models.llama import Llama
from tinytorch.models.llama_files import load_gguf


@dataclass
class Language:
    """A model that goes on with text, and what it takes to speak with it."""

    name: str
    model: GPT | Llama
    tokenizer: Tokenizer
    ends: tuple[int, ...] = ()
    begin: int | None = None
    chat: ChatText | None = None

    def ids(self, text: str | bytes) -> list[int]:
        """The tokens of a prompt, behind the one that a text begins with, where the model has one."""
        found = [int(i) for i in self.tokenizer.encode(text, specials=True)]
        return found if self.begin is None or found[:1] == [self.begin] else [self.begin, *found]


def load_language(source: str | Path, expand: bool = False) -> Language:
    """The language model of a GGUF file, a safetensors file of `save_weights`, or by name: smollm2 or gpt.

    `expand`: weights in blocks become float32. Raises ModelFileError or CheckpointError for what is missing,
    damaged, or no language model.
    """
    name = str(source)
    if name == "gpt":
        model = load_pretrained("gpt")
        assert isinstance(model, GPT), "that is what ships under this name"
        return Language(name, model, Bytes())
    path = locate(OTHERS[name]) if name in OTHERS else Path(source)
    if path.suffix == ".safetensors":
        return Language(name, _trained_here(path), Bytes())
    if path.suffix != ".gguf" and not path.is_file():
        known = ", ".join(["gpt", *(n for n, w in OTHERS.items() if w.ending == ".gguf")])
        raise ModelFileError(f"{name}: there is no such file; by name there are: {known}")
    with GGUF(path) as file:
        text = read_text(file)
        llama = load_gguf(file, expand)
    return Language(name, llama, text.tokenizer, text.ends, text.begin, text)


def _trained_here(path: Path) -> GPT:
    model = load_weights(path)
    if not isinstance(model, GPT) or model.vocab_size != 256:
        raise CheckpointError(f"{path}: no language model of bytes: it holds {type(model).__name__}")
    return model
