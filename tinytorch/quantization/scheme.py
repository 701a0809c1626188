"""Schemes: how weights and inputs of layers become codes, and the names that there are for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tinytorch.errors import QuantizationError
from tinytorch.quantization.ranges import RANGES


@dataclass(frozen=True)
class Scheme:
    """How layers are quantized.

    `bits` of a weight: 8, 4 or 16 (float16, for storage alone). `per`: what has a scale of its own, a
    "channel" (each output), the whole "tensor", or with four bits groups of at most `group` inputs. Inputs
    become codes "dynamic": each row by its largest number; "static": by a range found in calibration;
    "static-uint8": by a range whose ends need not be opposite, 256 codes with a zero point; or "auto": static
    for convolutions, dynamic for all else. `ranges`: how such a range is found.
    """

    name: str
    bits: int = 8
    per: Literal["channel", "tensor", "group"] = "channel"
    group: int = 128
    activations: Literal["dynamic", "static", "static-uint8", "auto"] = "auto"
    ranges: str = "percentile"

    def inputs(self, images: bool) -> str:
        """How the inputs of a layer become codes: "dynamic", "static" or "static-uint8".

        >>> SCHEMES["int8"].inputs(images=True), SCHEMES["int4-g32"].inputs(images=False)
        ('static', 'dynamic')
        """
        if images:
            return "static" if self.activations == "auto" else self.activations
        return "dynamic" if self.activations == "auto" or self.bits == 4 else self.activations

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise QuantizationError(f"ranges {self.ranges!r}; there are: {', '.join(RANGES)}")


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            Scheme("int8"),
            Scheme("int8-dynamic", activations="dynamic"),
            Scheme("int8-static", activations="static"),
            Scheme("int8-tensor", per="tensor"),
            Scheme("uint8-static", activations="static-uint8"),
            Scheme("int4-g32", bits=4, per="group", group=32),
            Scheme("int4-g128", bits=4, per="group"),
            Scheme("float16", bits=16),
            Scheme("mixed"),
        )
    }
)
"""By name. "mixed": four bits where that costs little, else eight."""


def scheme_of(scheme: str | Scheme) -> Scheme:
    """The scheme of that name, or itself; raises QuantizationError, which lists the names.

    >>> scheme_of("int4-g128").bits
    4
    """
    if isinstance(scheme, Scheme):
        return scheme
    if scheme not in SCHEMES:
        raise QuantizationError(f"there is no scheme {scheme!r}; there are: {', '.join(SCHEMES)}")
    return SCHEMES[scheme]
