"""The tables as this version reads and writes them.

Databases are made and brought up to date by the migrations alone; a test holds that both say the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from protonqa.errors import StoreError

#: The newest migration; older databases are brought here, others are refused.
SCHEMA_HEAD = "0001"
#: "PQRS": tells our files from other SQLite files.
APPLICATION_ID = 0x50515253
VERSION_TABLE = "protonqa_schema"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with time zone; as text of fixed width in SQLite, so that order of text is order of time."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text or the server's own type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise StoreError("a time without time zone cannot be stored")
        moment = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return moment
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if value is None or isinstance(value, datetime):
            return None if value is None else value.astimezone(UTC)
        return datetime.fromisoformat(str(value))


_Number = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _of(table: str) -> Column[int]:
    return Column(f"{table}_id", _Number, ForeignKey(f"{table}.id"), nullable=False)


store_fact = Table("store_fact", metadata, Column("name", Text, primary_key=True), _text("value"))

result = Table(
    "result",
    metadata,
    Column("id", _Number, Identity(), primary_key=True),
    Column("uid", String(32), nullable=False),
    _text("analysis"),
    _text("analysis_version"),
    _text("title"),
    _text("state"),
    _text("reason"),
    _text("program_version"),
    _text("tables_version"),
    _text("device_kind"),
    _text("device_label"),
    _text("seed"),
    Column("performed_utc", UtcDateTime, nullable=False),
    Column("saved_utc", UtcDateTime, nullable=False),
    _text("saved_by"),
    _text("computer"),
    _text("machine"),
    _text("site"),
    _text("field"),
    _text("patient"),
    Column("seconds", Double),
    Column("sha256", String(64), nullable=False),
    UniqueConstraint("uid"),
    CheckConstraint("state IN ('PASS', 'FAIL', 'NOT EVALUABLE', 'ERROR')", name="state"),
    Index(None, "performed_utc"),
    Index(None, "analysis", "performed_utc"),
    sqlite_autoincrement=True,
)

#: The whole result as deflated JSON, apart from what is searched.
content = Table(
    "content",
    metadata,
    Column("result_id", _Number, ForeignKey("result.id"), primary_key=True, autoincrement=False),
    _text("encoding"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

measurement = Table(
    "measurement",
    metadata,
    _of("result"),
    _text("part"),
    Column("position", Integer, nullable=False),
    _text("field"),
    _text("name"),
    _text("title"),
    _text("unit"),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("confidence", Double),
    PrimaryKeyConstraint("result_id", "part", "position"),
    Index(None, "name", "result_id"),
)

finding = Table(
    "finding",
    metadata,
    _of("result"),
    _text("part"),
    Column("position", Integer, nullable=False),
    _text("severity"),
    _text("code"),
    _text("text"),
    PrimaryKeyConstraint("result_id", "part", "position"),
    Index(None, "code", "result_id"),
)

#: ``role`` is 'artefact' (a file of the result folder) or 'input' (what it was computed from).
file = Table(
    "file",
    metadata,
    _of("result"),
    _text("role"),
    _text("name"),
    _text("description"),
    Column("files", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    PrimaryKeyConstraint("result_id", "role", "name"),
    CheckConstraint("role IN ('artefact', 'input')", name="role"),
)

#: ``kind`` is 'version' (of a library) or 'parameter' (value as JSON).
fact = Table(
    "fact",
    metadata,
    _of("result"),
    _text("kind"),
    _text("name"),
    _text("value"),
    PrimaryKeyConstraint("result_id", "kind", "name"),
)

amendment = Table(
    "amendment",
    metadata,
    Column("id", _Number, Identity(), primary_key=True),
    _of("result"),
    _text("kind"),
    _text("target"),
    _text("value"),
    _text("text"),
    Column("made_utc", UtcDateTime, nullable=False),
    _text("made_by"),
    _text("computer"),
    CheckConstraint("kind IN ('comment', 'exclude', 'include', 'label')", name="kind"),
    Index(None, "result_id", "kind", "target"),
    sqlite_autoincrement=True,
)

commissioning = Table(
    "commissioning",
    metadata,
    Column("id", _Number, Identity(), primary_key=True),
    Column("uid", String(32), nullable=False),
    _text("analysis"),
    _text("analysis_version"),
    _text("program_version"),
    _text("tables_version"),
    _text("device_kind"),
    _text("device_label"),
    _text("computer"),
    _text("seed"),
    Column("quick", Boolean, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("saved_utc", UtcDateTime, nullable=False),
    _text("saved_by"),
    _text("body"),
    Column("sha256", String(64), nullable=False),
    UniqueConstraint("uid"),
    Index(None, "analysis", "saved_utc"),
    sqlite_autoincrement=True,
)

commissioning_check = Table(
    "commissioning_check",
    metadata,
    _of("commissioning"),
    Column("position", Integer, nullable=False),
    _text("name"),
    _text("title"),
    Column("value", Double),
    _text("unit"),
    Column("limit_value", Double, nullable=False),
    _text("comparison"),
    Column("passed", Boolean, nullable=False),
    PrimaryKeyConstraint("commissioning_id", "position"),
)
