"""Results with their measurements, findings, files and facts; amendments; acceptance tests."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from protonqa.store.migrations.guards import guard, make_refusal

revision = "0001"
down_revision = None

_KEYS = {
    "store_fact": ("name",),
    "result": ("id",),
    "content": ("result_id",),
    "measurement": ("result_id", "part", "position"),
    "finding": ("result_id", "part", "position"),
    "file": ("result_id", "role", "name"),
    "fact": ("result_id", "kind", "name"),
    "amendment": ("id",),
    "commissioning": ("id",),
    "commissioning_check": ("commissioning_id", "position"),
}


def upgrade() -> None:
    """Make all tables and make their rows permanent."""
    _results()
    _parts()
    _amendments()
    _commissionings()
    make_refusal()
    for table, key in _KEYS.items():
        guard(table, key, "uid" if table in ("result", "commissioning") else "")


def _whole() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _moment() -> sa.types.TypeEngine[Any]:
    return sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def _id() -> sa.Column[int]:
    # Unlike a serial number it needs no right of its own on a server.
    return sa.Column("id", _whole(), sa.Identity(), primary_key=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double()) for name in names]


def _of(table: str, inside: str) -> list[sa.schema.SchemaItem]:
    column = f"{table}_id"
    key = sa.ForeignKeyConstraint([column], [f"{table}.id"], name=f"fk_{inside}_{column}")
    return [sa.Column(column, _whole(), nullable=False), key]


def _key(table: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*_KEYS[table], name=f"pk_{table}")


def _results() -> None:
    op.create_table("store_fact", *_texts("name", "value"), _key("store_fact"))
    op.create_table(
        "result",
        _id(),
        sa.Column("uid", sa.String(32), nullable=False),
        *_texts("analysis", "analysis_version", "title", "state", "reason", "program_version", "tables_version"),
        *_texts("device_kind", "device_label", "seed"),
        sa.Column("performed_utc", _moment(), nullable=False),
        sa.Column("saved_utc", _moment(), nullable=False),
        *_texts("saved_by", "computer", "machine", "site", "field", "patient"),
        sa.Column("seconds", sa.Double()),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_result"),
        sa.UniqueConstraint("uid", name="uq_result_uid"),
        sa.CheckConstraint("state IN ('PASS', 'FAIL', 'NOT EVALUABLE', 'ERROR')", name="ck_result_state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_result_performed_utc", "result", ["performed_utc"])
    op.create_index("ix_result_analysis_performed_utc", "result", ["analysis", "performed_utc"])


def _parts() -> None:
    op.create_table(
        "content",
        *_of("result", "content"),
        *_texts("encoding"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _key("content"),
    )
    op.create_table(
        "measurement",
        *_of("result", "measurement"),
        *_texts("part"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("field", "name", "title", "unit"),
        *_numbers("value", "low", "high", "confidence"),
        _key("measurement"),
    )
    op.create_index("ix_measurement_name_result_id", "measurement", ["name", "result_id"])
    op.create_table(
        "finding",
        *_of("result", "finding"),
        *_texts("part"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("severity", "code", "text"),
        _key("finding"),
    )
    op.create_index("ix_finding_code_result_id", "finding", ["code", "result_id"])
    op.create_table(
        "file",
        *_of("result", "file"),
        *_texts("role", "name", "description"),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _key("file"),
        sa.CheckConstraint("role IN ('artefact', 'input')", name="ck_file_role"),
    )
    op.create_table("fact", *_of("result", "fact"), *_texts("kind", "name", "value"), _key("fact"))


def _amendments() -> None:
    op.create_table(
        "amendment",
        _id(),
        *_of("result", "amendment"),
        *_texts("kind", "target", "value", "text"),
        sa.Column("made_utc", _moment(), nullable=False),
        *_texts("made_by", "computer"),
        sa.PrimaryKeyConstraint("id", name="pk_amendment"),
        sa.CheckConstraint("kind IN ('comment', 'exclude', 'include', 'label')", name="ck_amendment_kind"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_amendment_result_id_kind_target", "amendment", ["result_id", "kind", "target"])


def _commissionings() -> None:
    op.create_table(
        "commissioning",
        _id(),
        sa.Column("uid", sa.String(32), nullable=False),
        *_texts("analysis", "analysis_version", "program_version", "tables_version"),
        *_texts("device_kind", "device_label", "computer", "seed"),
        sa.Column("quick", sa.Boolean(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("saved_utc", _moment(), nullable=False),
        *_texts("saved_by", "body"),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_commissioning"),
        sa.UniqueConstraint("uid", name="uq_commissioning_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_commissioning_analysis_saved_utc", "commissioning", ["analysis", "saved_utc"])
    op.create_table(
        "commissioning_check",
        *_of("commissioning", "commissioning_check"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_texts("name", "title"),
        *_numbers("value"),
        *_texts("unit"),
        sa.Column("limit_value", sa.Double(), nullable=False),
        *_texts("comparison"),
        sa.Column("passed", sa.Boolean(), nullable=False),
        _key("commissioning_check"),
    )
