"""A chat: messages in turn, of which only what is new is ever computed."""

from __future__ import annotations

from collections.abc import Callable

from tinytorch.caching.decoder import Decoder
from tinytorch.caching.generate import Generation, generate
from tinytorch.caching.language import Language
from tinytorch.caching.sampling import Sampling
from tinytorch.errors import ModelFileError


class Chat:
    """What was said so far, and a decoder whose prefix cache holds it."""

    def __init__(
        self,
        language: Language,
        decoder: Decoder,
        sampling: Sampling,
        max_tokens: int = 256,
        seed: int | None = None,
        system: str | None = None,
    ) -> None:
        self.language, self.decoder, self.sampling = language, decoder, sampling
        self.max_tokens, self.seed, self.system = max_tokens, seed, system
        self.messages: list[dict[str, str]] = []
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def say(self, text: str, stream: Callable[[str], None] | None = None) -> Generation:
        """The answer to a message, which both become part of the chat.

        Ctrl-C ends the answer; what was made of it stays. When the chat outgrows the cache, its oldest
        messages are left out. Raises GenerationError for a message that does not fit by itself; whatever is
        raised, the chat is as it was before.
        """
        if self.language.chat is None:
            raise ModelFileError(f"{self.language.name}: has no chat template")
        before = list(self.messages)
        self.messages.append({"role": "user", "content": text})
        try:
            found = self._generated(self._prompt(), stream)
        except BaseException:
            self.messages = before
            raise
        self.messages.append({"role": "assistant", "content": found.text})
        return found

    def _generated(self, ids: list[int], stream: Callable[[str], None] | None) -> Generation:
        s = self.sampling
        found: Generation = generate(
            self.decoder,
            ids,
            self.max_tokens,
            s.temperature,
            s.top_k,
            s.top_p,
            self.seed,
            stream=stream,
            tokenizer=self.language.tokenizer,
            ends=self.language.ends,
            interruptible=True,
        )
        return found

    def _prompt(self) -> list[int]:
        """The tokens of the chat, with as many messages as leave room for an answer."""
        assert self.language.chat is not None, "checked before"
        first = 1 if self.system else 0
        while True:
            ids = self.language.ids(self.language.chat.prompt(self.messages))
            room = min(self.decoder.cache.capacity, self.decoder.context) - len(ids)
            if room >= min(self.max_tokens, 64) or len(self.messages) <= first + 1:
                return ids
            del self.messages[first : first + 2]
