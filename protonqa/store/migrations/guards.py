"""Triggers that make rows permanent: what is stored is neither changed nor deleted nor replaced."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

_MESSAGE = "results are never changed"
_FUNCTION = "protonqa_refuse_change"


def make_refusal() -> None:
    """The function that the triggers of PostgreSQL call; SQLite needs none."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION USING MESSAGE = '{_MESSAGE}', ERRCODE = 'PQ001'; END $$"
        )


def guard(table: str, key: Sequence[str], unique: str = "") -> None:
    """Make the rows of `table` permanent; `key` is its primary key, `unique` another unique column."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_is_permanent BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
        )
    # INSERT OR REPLACE deletes without asking the trigger above, unless the writer switched that on.
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    same += f" OR {unique} = NEW.{unique}" if unique else ""
    exists = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {exists} "
        f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
    )


def release(table: str) -> None:
    """Take the triggers away, for a step that must rewrite rows; it guards the table again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP TRIGGER {table}_is_permanent ON {table}")
        return
    for name in ("no_update", "no_delete", "no_replace"):
        op.execute(f"DROP TRIGGER {table}_{name}")
