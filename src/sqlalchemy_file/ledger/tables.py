"""The tables of the ledger, in the metadata of the program that uses it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

RELEASES = "sqlalchemy_file_release"
STATE = "sqlalchemy_file_state"

IN_INFO = "sqlalchemy_file.ledger"
"""Where a metadata keeps its ledger."""


def releases_table(metadata: MetaData, schema: str | None = None) -> Table:
    """Make the table of released paths: one row for each path that a row no longer names.

    ``at`` and ``due_at`` are milliseconds since the epoch by the database's clock. A path may
    stand there more than once: a unique one would make a user's DELETE fail.
    """
    return Table(
        RELEASES,
        metadata,
        Column("id", _BIG, Identity(), primary_key=True, autoincrement=True),
        Column("path", _PATH, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("due_at", BigInteger, nullable=False),
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("last_error", Text),
        Index(f"ix_{RELEASES}_path", "path", mysql_length=255, mariadb_length=255),
        Index(f"ix_{RELEASES}_due_at", "due_at"),
        schema=schema,
    )


def state_table(metadata: MetaData, schema: str | None = None) -> Table:
    """Make the table of what writers and workers share: the grace period, checkpoints."""
    return Table(
        STATE,
        metadata,
        Column("name", String(255), primary_key=True),
        Column("value", Text, nullable=False),
        schema=schema,
    )


# Other collations would take "a" and "A" for one path.
_PATH = Text().with_variant(Text(collation="utf8mb4_bin"), "mysql", "mariadb")
_BIG = BigInteger().with_variant(Integer, "sqlite")


class now_ms(FunctionElement[int]):  # noqa: N801  named as a function of SQL
    """The database's clock, in milliseconds since the epoch."""

    type: BigInteger = BigInteger()  # pyright: ignore[reportIncompatibleVariableOverride]
    inherit_cache: bool | None = True
    name = "now_ms"


@compiles(now_ms, "sqlite")
def _now_on_sqlite(element: ColumnElement[int], compiler: Any, **options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _now_on_postgresql(element: ColumnElement[int], compiler: Any, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


@compiles(now_ms, "mysql", "mariadb")
def _now_on_mysql(element: ColumnElement[int], compiler: Any, **options: Any) -> str:
    return "CAST(unix_timestamp(sysdate(3)) * 1000 AS signed)"
