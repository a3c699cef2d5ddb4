"""The layout of the ledger's table, and its upgrades.

Version 1 had an identity key and the path. Its entries are kept; their storage is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Table, delete, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from sqlalchemy_file.ledger.columns import Place, qualified, quoted
from sqlalchemy_file.ledger.connections import is_unreadable
from sqlalchemy_file.ledger.tables import (
    MISSED,
    MISSED_NOTE,
    NEVER,
    STATE,
    now_ms,
    releases_table,
    state_table,
)

_MARK = "`"  # of MariaDB and MySQL
_NEW = ("storage", "tx", "lease", "seen_at")
OUT_OF_DATE = "out of date"
"""The kind of the flaw that the layout is that of an earlier release."""
_KEPT = "id, path, at, due_at, tries, last_error"


class Flaw(NamedTuple):
    """A problem of the ledger's table. ``repair`` is SQL; without it somebody has to decide."""

    kind: str
    message: str
    repair: tuple[str, ...] = ()


def flaws(connection: Connection, ledger: Place, columns: set[str]) -> Iterator[Flaw]:
    """Yield the faults of the ledger's table, in the order of their repair."""
    name = connection.dialect.name
    if is_of_earlier_release(columns):
        upgrades = tuple(_upgrades(connection, ledger, columns))
        yield Flaw(OUT_OF_DATE, "its layout is that of an earlier release", upgrades)
    if name == "postgresql":
        yield from _flaws_of_rights(connection, ledger)
        yield from _missed_on_postgresql(connection, ledger)
    elif name != "sqlite":
        yield from _missed_on_mariadb(connection, ledger)
    for strange in _demanding(connection, ledger, columns):
        yield Flaw(
            "unknown column",
            f"its column {strange!r} takes no NULL and has no default, so no trigger can write "
            "a note; give the column a default, or drop it",
        )


def forget_missed(connection: Connection, schema: str | None) -> None:
    """Forget that triggers could not write notes."""
    prefix = f"{quoted(schema)}." if schema else ""
    if connection.dialect.name == "postgresql":
        query = text("SELECT setval(to_regclass(:name), 1, false)")
        connection.execute(query, {"name": f"{prefix}{quoted(MISSED)}"})
    else:
        state = state_table(MetaData(), schema)
        connection.execute(delete(state).where(state.c.name.startswith(MISSED_NOTE)))


def is_of_earlier_release(columns: Iterable[str]) -> bool:
    """Return whether a ledger's table with these columns has the layout of an earlier release."""
    return not set(columns).issuperset(_NEW)


def _upgrades(connection: Connection, ledger: Place, columns: set[str]) -> Iterator[str]:
    table = releases_table(MetaData(), ledger.schema)
    if connection.dialect.name == "sqlite":
        yield from _copied(connection, table, qualified(ledger))
    elif connection.dialect.name == "postgresql":
        yield from _altered_on_postgresql(connection, table, qualified(ledger), columns)
    else:
        changes = [
            f"{'MODIFY' if column.name in columns else 'ADD'} COLUMN "
            f"{CreateColumn(column).compile(dialect=connection.dialect)}"
            for column in table.columns
        ]
        yield f"ALTER TABLE {qualified(ledger, _MARK)} {', '.join(changes)}"


def _copied(connection: Connection, table: Table, name: str) -> Iterator[str]:
    """Copy the entries to a temporary table and back: SQLite cannot change a column's default.

    To rename the table would fail if triggers on unknown tables write into it.
    """
    aside = "temp.sqlalchemy_file_notes_aside"
    yield f"CREATE TABLE {aside} AS SELECT {_KEPT} FROM {name}"
    yield f"DROP TABLE {name}"
    yield str(CreateTable(table).compile(dialect=connection.dialect))
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        yield str(CreateIndex(index).compile(dialect=connection.dialect))
    yield f"INSERT INTO {name} ({_KEPT}) SELECT {_KEPT} FROM {aside}"
    yield f"DROP TABLE {aside}"


def _altered_on_postgresql(
    connection: Connection, table: Table, name: str, columns: set[str]
) -> Iterator[str]:
    yield f"ALTER TABLE {name} ALTER id DROP IDENTITY IF EXISTS"
    yield f"ALTER TABLE {name} ALTER id DROP DEFAULT"
    changes = ["ALTER id TYPE uuid USING gen_random_uuid()"]
    for column in table.columns:
        kind = column.type.compile(dialect=connection.dialect)
        if column.name not in columns:
            changes.append(f"ADD COLUMN IF NOT EXISTS {column.name} {kind}")
    yield f"ALTER TABLE {name} {', '.join(changes)}"
    # Not in the statement above: old entries must get no transaction id.
    for column in table.columns:
        spec = str(CreateColumn(column).compile(dialect=connection.dialect))
        _, default, sql = spec.partition(" DEFAULT ")
        if default:
            sql = sql.removesuffix(" NOT NULL")
            yield f"ALTER TABLE {name} ALTER {column.name} SET DEFAULT {sql}"


def _flaws_of_rights(connection: Connection, ledger: Place) -> Iterator[Flaw]:
    """Yield what keeps triggers from writing: on PostgreSQL they have the rights of each role."""
    name, sequence = qualified(ledger), qualified(Place(ledger.schema, MISSED))
    found = connection.execute(_RIGHTS, {"ledger": name, "missed": sequence}).one()
    if not found.may_enter:
        lack = "PUBLIC has no USAGE on its schema, so roles without that note nothing"
        yield Flaw("rights", lack, (f"GRANT USAGE ON SCHEMA {quoted(ledger.schema)} TO PUBLIC",))
    if not found.may_note:
        lack = "PUBLIC may not INSERT (path, storage), so roles without that note nothing"
        # The columns that triggers write; all others have defaults.
        yield Flaw("rights", lack, (f"GRANT INSERT (path, storage) ON {name} TO PUBLIC",))
    if not found.may_tell:
        create = f"CREATE SEQUENCE IF NOT EXISTS {sequence} OWNED BY {name}.path"
        grant = f"GRANT UPDATE ON SEQUENCE {sequence} TO PUBLIC"
        lack = f"PUBLIC may not UPDATE the sequence {MISSED}, so notes are missed without a trace"
        yield Flaw("rights", lack, (create, grant))
    if found.is_guarded:
        yield Flaw("rights", _GUARDED)


def _missed_on_postgresql(connection: Connection, ledger: Place) -> Iterator[Flaw]:
    sequence = qualified(Place(ledger.schema, MISSED))
    at = connection.execute(_MISSED_AT, {"missed": sequence}).scalar()
    if at is not None:
        when = datetime.fromtimestamp(at / 1000, UTC).isoformat(" ", "seconds")
        yield Flaw("missed notes", f"a trigger could not write a note, last at {when}; {_FIND}")


def _missed_on_mariadb(connection: Connection, ledger: Place) -> Iterator[Flaw]:
    """Yield the entries that went into the state table; those with a path can be moved back."""
    state = state_table(MetaData(), ledger.schema)
    name, missed = qualified(Place(ledger.schema, STATE), _MARK), f"LIKE '{MISSED_NOTE}%'"
    count = select(func.count(), func.sum(func.json_value(state.c.value, "$.path").is_not(None)))
    try:
        found, whole = connection.execute(count.where(state.c.name.startswith(MISSED_NOTE))).one()
    except DBAPIError as error:
        if not is_unreadable(error):
            raise
        return
    if whole:
        ledger_name = qualified(ledger, _MARK)
        number = f"CAST(SUBSTR(name, {len(MISSED_NOTE) + 1}) AS UNSIGNED)"
        key = f"({number} & 9223372036854775807)"
        parts = ", ".join(
            f"JSON_UNQUOTE(NULLIF(JSON_EXTRACT(value, '$.{part}'), 'null'))"
            for part in ("path", "storage", "lease")
        )
        now = now_ms().compile(dialect=connection.dialect)
        due = f"IF(JSON_CONTAINS_PATH(value, 'one', '$.lease'), {NEVER}, {now})"
        moved = (
            f"INSERT INTO {ledger_name} (id, path, storage, lease, due_at) "
            f"SELECT {key}, {parts}, {due} FROM {name} "
            f"WHERE name {missed} AND JSON_TYPE(JSON_EXTRACT(value, '$.path')) = 'STRING'"
        )
        gone = f"DELETE FROM {name} WHERE name {missed} AND {key} IN (SELECT id FROM {ledger_name})"
        message = f"{int(whole)} notes could not be written into it, and stand in {state.name}"
        yield Flaw("missed notes", message, (moved, gone))
    if found > (whole or 0):
        yield Flaw("missed notes", f"a trigger could not read what a cascade deletes; {_FIND}")


def _demanding(connection: Connection, ledger: Place, columns: set[str]) -> list[str]:
    """Return columns of others that take no NULL and have no default."""
    strange = columns - {column.name for column in releases_table(MetaData()).columns}
    if not strange:
        return []
    if connection.dialect.name == "sqlite":
        query = f"PRAGMA {quoted(ledger.schema)}.table_xinfo({quoted(ledger.table)})"
        rows = connection.exec_driver_sql(query).all()
        required = {row[1] for row in rows if row[3] and row[4] is None and not row[6]}
    else:
        named = {"schema": ledger.schema, "name": ledger.table}
        required = set(connection.execute(_REQUIRED, named).scalars())
    return sorted(strange & required)


_GUARDED = (
    "row-level security is enabled on it, so roles that its policies exclude note nothing; "
    "disable it"
)
_FIND = (
    "the server's log may say why; what it would have noted is found by a full pass "
    "(sweep --full), after which forget_missed(connection) of the ledger ends this"
)

_MISSED_AT: Any = text("""
SELECT CASE WHEN has_sequence_privilege(oid, 'SELECT, USAGE') THEN pg_sequence_last_value(oid) END
FROM pg_class WHERE oid = to_regclass(:missed)""")

_RIGHTS: Any = text("""
SELECT has_schema_privilege('public', n.oid, 'USAGE') AS may_enter,
       has_column_privilege('public', c.oid, 'path', 'INSERT')
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'storage'
                   AND has_column_privilege('public', c.oid, a.attnum, 'INSERT')) AS may_note,
       coalesce(has_sequence_privilege('public', to_regclass(:missed), 'UPDATE'), false)
       AS may_tell, c.relrowsecurity AS is_guarded
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(:ledger)""")

_REQUIRED: Any = text("""
SELECT column_name FROM information_schema.columns
WHERE table_schema = :schema AND table_name = :name
AND is_nullable = 'NO' AND column_default IS NULL""")
