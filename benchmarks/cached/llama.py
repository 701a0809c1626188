"""llama.cpp as a peer, through the package xllamacpp: a server in this process, asked with token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.ops.spec import Array

CONTEXT = 2304


class LlamaCpp:
    """One model file with its settings; rates are those that llama.cpp measures itself."""

    def __init__(self, path: Path, threads: int = 1, flash: bool = True) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, 2048, 512
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_parallel, params.n_gpu_layers, params.verbosity = 1, 0, 0
        kinds = xllamacpp.llama_flash_attn_type
        on, off = kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED, kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.flash_attn_type = on if flash else off
        self.server = xllamacpp.Server(params)

    def ask(self, prompt: str | Sequence[int], new: int, **more: Any) -> dict[str, Any]:
        """What it answers to a prompt, greedily, without a prompt cache."""
        request = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": new,
            "temperature": 0,
            "cache_prompt": False,
            "ignore_eos": True,
        }
        found = self.server.handle_completions({**request, **more})
        answer: dict[str, Any] = found if isinstance(found, dict) else json.loads(found)
        return answer

    def decode_rate(self, ids: Sequence[int], new: int) -> float:
        """Tokens a second behind a prompt."""
        return float(self.ask(ids, new)["timings"]["predicted_per_second"])

    def prefill_rate(self, ids: Sequence[int]) -> float:
        """Tokens of the prompt a second."""
        return float(self.ask(ids, 2)["timings"]["prompt_per_second"])

    def forced(self, ids: Sequence[int]) -> tuple[Array, Array, Array]:
        """Of each token but the first: its log-probability, the likeliest token, and how far that one leads.

        A token is forced by a large bias, which its reported probability does not have.
        """
        found = []
        for end in range(1, len(ids)):
            answer = self.ask(ids[:end], 1, n_probs=2, logit_bias=[[ids[end], 1000.0]], cache_prompt=True)
            (one,) = answer["choices"][0]["logprobs"]["content"]
            if one["id"] != ids[end]:
                raise RuntimeError(f"llama.cpp went on with {one['id']}, not {ids[end]}")
            best, second = one["top_logprobs"]
            found.append((one["logprob"], best["id"], best["logprob"] - second["logprob"]))
        logprobs, likeliest, margins = map(np.array, zip(*found, strict=True))
        return logprobs, likeliest, margins
