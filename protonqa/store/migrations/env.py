"""What alembic runs: all steps on the connection and in the transaction of the caller."""

from __future__ import annotations

from alembic import context

from protonqa.store.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    # All steps or none, on SQLite too: the caller has begun the transaction.
    transactional_ddl=True,
)
context.run_migrations()
