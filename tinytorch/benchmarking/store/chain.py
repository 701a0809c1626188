"""The chain: each record's hash covers the one before it, and the organiser's key signs each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.result import (
    BOARDS,
    Board,
    Comparison,
    Record,
    Result,
    Technique,
    decoded,
    digest,
)
from tinytorch.errors import BenchmarkError

START = "0" * 64
"""What stands before the first record."""
RESULT, COMPARISON = "result", "comparison"


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a board shows of a record, so that it need not read all samples. quality: of the entry; file,
    memory: bytes; latency: seconds of the first part's median query.
    """

    description: str
    ratios: dict[Board, Ratio]
    techniques: tuple[Technique, ...] = ()
    labels: tuple[str, ...] = ()
    quality: float = 0.0
    file: int = 0
    memory: int = 0
    latency: float = 0.0
    valid: bool = True
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """The fields of a record that its hash covers."""

    number: int
    kind: str
    written: str
    payload: bytes
    previous: str

    @property
    def hash(self) -> str:
        """SHA-256 over all of them, the payload by its own hash.

        >>> Link(1, "result", "2026-01-01", b"{}", START).hash[:8]
        'd9dbb394'
        """
        text = msgspec.json.encode(
            [self.number, self.kind, self.written, digest(self.payload), self.previous]
        )
        return hashlib.sha256(text).hexdigest()


def signed_text(hash: str) -> bytes:
    """What is signed of a record."""
    return f"tinymlperf record {hash}".encode()


def signed_head(store: str, count: int, hash: str) -> bytes:
    """What is signed of the head: which store it is, how many records there are, and the hash of the last."""
    return f"tinymlperf head {store} {count} {hash}".encode()


def read_record(kind: str, payload: bytes) -> Record:
    """The record in a payload; raises BenchmarkError."""
    if kind == RESULT:
        return decoded(payload, Result)
    if kind == COMPARISON:
        return decoded(payload, Comparison)
    raise BenchmarkError(f"a record of kind {kind[:40]!r}")


def columns_of(record: Record) -> dict[str, Any]:
    """The columns that repeat what a record holds."""
    if isinstance(record, Comparison):
        summary = Summary("", record.ratios)
        own = {"kind": COMPARISON, "team": "", "entry": record.first, "other": record.second, "listed": False}
    else:
        summary = _summary(record)
        own = {"kind": RESULT, "team": record.team, "entry": record.entry, "other": ""}
        own["listed"] = record.valid and record.published
    return {
        "event": record.event,
        "division": record.division,
        "fingerprint": record.machine.fingerprint,
        "summary": msgspec.json.encode(summary, order="deterministic"),
        **own,
    }


def _summary(result: Result) -> Summary:
    found, ratios = result.figures, result.ratios
    boards: Mapping[Board, Ratio] = {b: ratios.on(b) for b in BOARDS} if ratios else {}
    return Summary(
        result.description,
        dict(boards),
        result.techniques,
        result.labels,
        found.quality if found else 0.0,
        found.file if found else 0,
        found.memory if found else 0,
        next(iter(found.latency.values())).value if found and found.latency else 0.0,
        result.valid,
        result.reasons,
    )
