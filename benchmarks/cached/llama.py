"""llama.cpp as a peer, through the package xllamacpp: a server in this process, asked with token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        self._server = xllamacpp.Server(params)

    def ask(self, ids: Sequence[int], new: int, **more: Any) -> dict[str, Any]:
        """What it answers to a prompt, greedily, without a prompt cache."""
        request = {
            "prompt": list(ids),
            "n_predict": new,
            "temperature": 0,
            "cache_prompt": False,
            "ignore_eos": True,
        }
        found = self._server.handle_completions({**request, **more})
        answer: dict[str, Any] = found if isinstance(found, dict) else json.loads(found)
        return answer

    def decode_rate(self, ids: Sequence[int], new: int) -> float:
        """Tokens a second behind a prompt."""
        return float(self.ask(ids, new)["timings"]["predicted_per_second"])

    def prefill_rate(self, ids: Sequence[int]) -> float:
        """Tokens of the prompt a second."""
        return float(self.ask(ids, 2)["timings"]["prompt_per_second"])
