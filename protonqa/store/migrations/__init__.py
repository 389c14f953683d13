"""The history of the tables: one module a step, run by alembic, never edited once released."""
