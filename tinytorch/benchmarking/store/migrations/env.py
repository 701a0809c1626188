"""What Alembic runs to change tables, on the connection that `database` hands it."""

from __future__ import annotations

from alembic import context

from tinytorch.benchmarking.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
