"""The tables of the ledger, in the metadata of the program that uses it."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

RELEASES = "sqlalchemy_file_release"
STATE = "sqlalchemy_file_state"
MISSED = "sqlalchemy_file_missed"
"""The sequence of PostgreSQL that contains the time when a trigger last failed."""
MISSED_NOTE = "missed:"
"""Begins the names of state rows with entries that MariaDB could not write into the ledger."""

IN_INFO = "sqlalchemy_file.ledger"
"""The key of the ledger in ``metadata.info``."""

KEPT = "kept"
"""The lease of entries of fields with ``on_release="keep"``, whose objects are not deleted."""
NEVER = 253_402_300_799_000
"""When such an entry is due: at the end of the year 9999."""

TX_VARIABLE = "@sqlalchemy_file_tx"
"""The user variable of MariaDB and MySQL that triggers copy into ``tx``."""


class LedgerTables(Protocol):
    """The attributes of a `Ledger` that other modules of this package use."""

    metadata: MetaData
    indexed: bool
    releases: Table
    state: Table

    def __hash__(self) -> int: ...


def releases_table(metadata: MetaData, schema: str | None = None) -> Table:
    """Return the table of entries: one row for each path that a row no longer contains.

    ``storage`` is that of the record, if the path begins with it. ``at`` and ``due_at`` are
    milliseconds since 1970 by the database's clock. ``tx`` is the transaction that wrote the
    entry, ``lease`` the worker that deletes the object, or `KEPT`; ``seen_at`` is not used yet. All
    but path and storage have defaults.

    A unique path would make a user's DELETE fail. Ids are never used again, and do not come from a
    counter, for which statements would wait.
    """
    return Table(
        RELEASES,
        metadata,
        Column("id", _ID, primary_key=True, autoincrement=False, server_default=new_id()),
        Column("path", _PATH, nullable=False),
        Column("storage", _PATH),
        Column("at", BigInteger, nullable=False, server_default=now_ms()),
        Column("due_at", BigInteger, nullable=False, server_default=now_ms()),
        Column("tries", Integer, nullable=False, server_default="0"),
        Column("last_error", Text),
        Column("tx", String(64), server_default=this_transaction()),
        Column("lease", String(64)),
        Column("seen_at", BigInteger),
        Index(f"ix_{RELEASES}_path", "path", mysql_length=255, mariadb_length=255),
        Index(f"ix_{RELEASES}_due_at", "due_at"),
        schema=schema,
        sqlite_autoincrement=True,
    )


def state_table(metadata: MetaData, schema: str | None = None) -> Table:
    """Return the table of what writers and workers share: the grace period, checkpoints."""
    return Table(
        STATE,
        metadata,
        Column("name", String(255), primary_key=True),
        Column("value", Text, nullable=False),
        schema=schema,
    )


NOW_ON_POSTGRESQL = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


class _BySQL(FunctionElement[Any]):
    """An expression with a text for each dialect."""

    sqlite = "NULL"
    postgresql: str
    mysql = "NULL"


@compiles(_BySQL, "sqlite")
@compiles(_BySQL, "postgresql")
@compiles(_BySQL, "mysql")
@compiles(_BySQL, "mariadb")
def _compiled(element: _BySQL, compiler: Any, **_: Any) -> str:
    name = compiler.dialect.name
    return str(getattr(element, "mysql" if name == "mariadb" else name))


class now_ms(_BySQL):  # noqa: N801  named as a function of SQL
    """The database's clock, in milliseconds since the epoch."""

    type: BigInteger = BigInteger()  # pyright: ignore[reportIncompatibleVariableOverride]
    inherit_cache: bool | None = True
    name = "now_ms"
    sqlite = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    postgresql = NOW_ON_POSTGRESQL
    mysql = "CAST(unix_timestamp(sysdate(3)) * 1000 AS signed)"


class new_id(_BySQL):  # noqa: N801
    """The default of an entry's id; on SQLite, AUTOINCREMENT gives it."""

    inherit_cache: bool | None = True
    name = "new_id"
    postgresql = "gen_random_uuid()"
    mysql = "(uuid_short() & 9223372036854775807)"


class this_transaction(_BySQL):  # noqa: N801
    """The id of the transaction that writes an entry, or NULL.

    On MariaDB and MySQL triggers copy a variable instead, which no default may read.
    """

    type: String = String()  # pyright: ignore[reportIncompatibleVariableOverride]
    inherit_cache: bool | None = True
    name = "this_transaction"
    postgresql = "CAST(pg_current_xact_id() AS text)"


def now(connection: Connection) -> int:
    """Return the database's time in milliseconds since the epoch."""
    return int(connection.scalar(select(now_ms())) or 0)


def table_name(connection: Connection, table: Table) -> str:
    """Return the quoted name of a table, with the schema that the connection translates it to."""
    return name_in(connection.dialect, table, connection.schema_for_object(table))


def name_in(dialect: Dialect, table: Table, schema: str | None) -> str:
    preparer = dialect.identifier_preparer
    name = preparer.quote(table.name)
    return f"{preparer.quote_schema(schema)}.{name}" if schema else name


# Other collations would take "a" and "A" for one path.
_PATH = Text().with_variant(Text(collation="utf8mb4_bin"), "mysql", "mariadb")
_ID = BigInteger().with_variant(Integer(), "sqlite").with_variant(Uuid(), "postgresql")
