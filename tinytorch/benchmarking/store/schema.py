"""Tables of the store: records in a chain, its head, programs by their hash, and uploads that wait."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

METADATA = MetaData()

# Other columns repeat what `payload` holds, for queries; `verify` compares them.
RECORDS = Table(
    "records",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("written", String(40), nullable=False),
    Column("event", String(64), nullable=False),
    Column("division", String(16), nullable=False),
    Column("team", String(64), nullable=False),
    Column("entry", String(64), nullable=False),
    Column("other", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("summary", LargeBinary, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("signature", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # the last, as SQLite reads rows from their beginning
    Index("records_by_board", "event", "division", "kind", "fingerprint"),
    Index("records_by_team", "team"),
)

HEAD = Table(
    "head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store", String(32), nullable=False),
    Column("length", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

PROGRAMS = Table(
    "programs",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("ticket", String(64), nullable=False, unique=True),
    Column("event", String(64), nullable=False),
    Column("team", String(64), nullable=False),
    Column("description", LargeBinary, nullable=False),
    Column("program", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("worker", String(100), nullable=False),
    Column("beat", Float, nullable=False),
    Column("record", Integer, nullable=True),
    Column("reason", String(1000), nullable=False),
    Column("created", Float, nullable=False),
    Index("jobs_by_state", "state", "id"),
)
