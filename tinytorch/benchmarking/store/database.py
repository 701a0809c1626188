"""Connections to SQLite in one file or PostgreSQL by URL, transactions one at a time, and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from tinytorch.errors import BenchmarkError

LATEST = "0001"
"""The revision of the tables that this code knows."""
BUSY = 60
"""Seconds to wait for another process that writes."""
_LOCK = 0x7151_0C4A
"""The number of the lock under which PostgreSQL appends one record at a time."""
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """A database of results. `url`: of SQLAlchemy, or the path of a SQLite file, made with its folder.

    Raises BenchmarkError for one that cannot be opened or that a newer version made.
    """

    def __init__(self, url: str | Path) -> None:
        self.engine = _engine(str(url))
        try:
            self._upgrade()
        except SQLAlchemyError as error:
            raise BenchmarkError(f"store {self.name}: {_line(error)}") from error

    @property
    def name(self) -> str:
        """Which database it is, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of all tables."""
        with _named(self), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection that is alone in changing anything; what it did is kept whole, or not at all."""
        with _named(self), self.engine.connect() as connection:
            options = connection.execution_options(writes=True)
            with options.begin():
                if not self.is_sqlite:
                    options.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                yield options

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file."""
        return self.engine.dialect.name == "sqlite"

    def _upgrade(self) -> None:
        """Bring the tables up to what this code knows; beside another process that does the same, once."""
        with self.read() as connection:
            if _revision(connection) == LATEST:
                return
        with self.write() as connection:
            found = _revision(connection)
            if found not in (None, LATEST):
                raise BenchmarkError(
                    f"store {self.name}: made by another version, revision {found:.20}; this one knows "
                    f"{LATEST}. Update TinyTorch"
                )
            if found is None:
                from alembic import command
                from alembic.config import Config

                config = Config()
                config.set_main_option("script_location", str(_MIGRATIONS))
                config.attributes["connection"] = connection
                command.upgrade(config, LATEST)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _engine(url: str) -> Engine:
    if "://" not in url:
        path = Path(url).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchmarkError(f"store {path}: {error.strerror or error}") from error
        url = f"sqlite:///{path}"
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, connect_args=_arguments(parsed.get_backend_name()), pool_pre_ping=True)
    except (ArgumentError, ImportError, SQLAlchemyError) as error:
        raise BenchmarkError(
            f"store {url.partition('@')[0][:60]!r}: {_line(error)}; expected the path of a file, or "
            "postgresql://user@host/name (pip install the extra `server`)"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _arguments(backend: str) -> dict[str, object]:
    return {"timeout": BUSY} if backend == "sqlite" else {"connect_timeout": 10}


def _prepare(connection: object, record: object) -> None:
    """SQLite: transactions begin where we say so, and are on disk when they are committed."""
    import sqlite3

    assert isinstance(connection, sqlite3.Connection), "the driver of SQLite"
    connection.isolation_level = None
    for setting in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={1000 * BUSY}"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: Connection) -> None:
    """Who means to write takes the lock at once: two that read first would wait for each other."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _named(database: Database) -> Iterator[None]:
    """Errors of the database in one line, with its name."""
    try:
        yield
    except OperationalError as error:
        raise BenchmarkError(f"store {database.name}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
