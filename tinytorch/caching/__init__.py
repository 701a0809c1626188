"""Caching: text is generated without computing anything twice."""

from tinytorch.caching.decoder import Decoder
from tinytorch.caching.generate import Generation, generate
from tinytorch.caching.kv_cache import KVCache

__all__ = ["Decoder", "Generation", "KVCache", "generate"]
