"""The triggers on PostgreSQL: two functions a table, and one that reads paths out of a value.

The triggers have no WHEN: a column that stands in one could neither be dropped nor get another
type before its trigger is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, literal, literal_column, text

from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.postgresql_bodies import (
    PINNED,
    UNREADABLE,
    create_function,
    qualified,
    quoted,
    reader_body,
    row_body,
    truncate_body,
)
from sqlalchemy_file.ledger.triggers import (
    PREFIX,
    Found,
    Lookup,
    Place,
    Trigger,
    note,
    read_note,
    trigger_name,
)


def place(connection: Connection, table: str, schema: str | None) -> Place | None:
    """Return where a table lies, or None if there is none of that name that can have triggers."""
    name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
    query = text(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid = to_regclass(:name) AND c.relkind IN ('r', 'p')"
    )
    found = connection.execute(query, {"name": name}).scalar()
    return Place(str(found), table) if found is not None else None


def columns(connection: Connection, where: Place) -> set[str]:
    """Return the names of a table's columns."""
    query = text(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) "
        "AND attnum > 0 AND NOT attisdropped"
    )
    return set(connection.execute(query, {"name": qualified(where)}).scalars())


def wanted(
    connection: Connection, ledger: Place, feeds: Sequence[tuple[Place, FileColumns]]
) -> Iterator[Trigger]:
    """Yield the functions that read paths, and the triggers that these tables need."""
    notes, paths = (_reader(ledger, kind) for kind in ("notes", "paths"))
    if any(files.columns for _, files in feeds):
        yield notes
    if any(files.indexed for _, files in feeds):
        yield paths
    own = {where for where, _ in feeds}
    for where, files in feeds:
        yield from _indexes(ledger, paths, where, files.indexed)
        if not files.columns:
            continue
        reader = Place(ledger.schema, notes.name)
        rows = _trigger_function("released", where, row_body(ledger, reader, files.columns))
        truncated = _trigger_function(
            "truncated", where, truncate_body(ledger, reader, files.columns)
        )
        for table, is_partition in [(where, False), *_descendants(connection, where)]:
            if table == where or table not in own:
                if not is_partition:
                    for kind in ("update", "delete"):
                        yield _trigger(table, kind, "AFTER", "ROW", rows)
                yield _trigger(table, "truncate", "BEFORE", "STATEMENT", truncated)


def _trigger_function(kind: str, where: Place, body: str) -> Trigger:
    function = Place(where.schema, trigger_name(kind, where, body))
    options = PINNED if kind == "released" else f"{PINNED} SET row_security = off"
    create = create_function(f"{qualified(function)}()", "trigger", options, body)
    return Trigger(function, kind, function.table, (create,))


def _trigger(table: Place, kind: str, moment: str, rows: str, function: Trigger) -> Trigger:
    name = trigger_name(kind, table, function.place)
    create = (
        f"CREATE TRIGGER {name} {moment} {kind.upper()} ON {qualified(table)} "
        f"FOR EACH {rows} EXECUTE FUNCTION {qualified(function.place)}()"
    )
    return Trigger(table, kind, name, (*function.create, create))


def found(connection: Connection) -> Iterator[Found]:
    """Yield the ledger's triggers in all schemas, and the functions that read paths."""
    for row in connection.execute(_TRIGGERS).all():
        where = Place(row.schema, row.name)
        drop = (f"DROP TRIGGER IF EXISTS {quoted(row.trigger)} ON {qualified(where)}",)
        repair = (f"ALTER TABLE {qualified(where)} ENABLE TRIGGER {quoted(row.trigger)}",)
        fault = None if row.enabled in ("O", "A") else "it is disabled"
        yield Found(
            where,
            row.trigger,
            () if row.is_clone else drop,
            row.body,
            fault,
            repair,
            row.is_inherited,
        )
    for row in connection.execute(_INDEXES).all():
        drop = (f"DROP INDEX IF EXISTS {quoted(row.schema)}.{quoted(row.index_name)}",)
        fault = None if row.is_valid else "it was not built to its end"
        yield Found(Place(row.schema, row.name), row.index_name, drop, "", fault)
    for row in connection.execute(_READERS).all():
        place = read_note(row.body).get("ledger", "").removeprefix(f"{row.schema}.")
        yield Found(Place(row.schema, place), row.name, (), row.body)


def leftovers(connection: Connection, ledger: Place) -> Iterator[str]:
    """Yield the SQL that drops functions of this ledger which nothing uses any more."""
    for query, parameters in ((_UNUSED, ""), (_UNREAD, "text")):
        for row in connection.execute(query).all():
            if read_note(row.body).get("ledger") == str(ledger):
                function = qualified(Place(row.schema, row.name))
                yield f"DROP FUNCTION IF EXISTS {function}({parameters})"


def lookup(connection: Connection, ledger: Place, where: Place, column: str) -> Lookup | None:
    """Return the condition that the index of a column answers, or None if it is not there."""
    reader = _reader(ledger, "paths")
    index = next(_indexes(ledger, reader, where, (column,)))
    query = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid")
    name = qualified(Place(where.schema, index.name))
    if connection.execute(query, {"name": name}).first() is None:
        return None
    expression = literal_column(_read(ledger, reader, column), ARRAY(Text))
    # As `overlap` of the dialect's own ARRAY, which would load the dialect for everybody.
    return lambda paths: expression.bool_op("&&")(literal([*paths, UNREADABLE], ARRAY(Text)))


def _indexes(
    ledger: Place, reader: Trigger, where: Place, names: Sequence[str]
) -> Iterator[Trigger]:
    for column in names:
        expression = _read(ledger, reader, column)
        # Pending entries would be read one by one for each path that is looked up.
        definition = f"USING gin (({expression})) WITH (fastupdate = off)"
        name = trigger_name("index", where, definition)
        create = f"CREATE INDEX {quoted(name)} ON {qualified(where)} {definition}"
        yield Trigger(where, "index", name, (create,))


def _read(ledger: Place, reader: Trigger, column: str) -> str:
    return f"{qualified(Place(ledger.schema, reader.name))}({quoted(column)}::text)"


def _descendants(connection: Connection, where: Place) -> list[tuple[Place, bool]]:
    """Return the partitions of a table, and the tables that inherit from it.

    PostgreSQL clones row triggers to partitions, but not those for TRUNCATE.
    """
    rows = connection.execute(_DESCENDANTS, {"name": qualified(where)}).all()
    return [(Place(row.schema, row.name), row.is_partition) for row in rows]


def _reader(ledger: Place, kind: str) -> Trigger:
    body = f"{note(ledger, ())}{reader_body(kind)}"
    name = trigger_name(kind, ledger, body)
    signature = f"{qualified(Place(ledger.schema, name))}(value text)"
    # Not PARALLEL SAFE: a worker cannot begin the subtransaction that EXCEPTION needs.
    create = create_function(signature, "text[]", f"IMMUTABLE STRICT COST 10000 {PINNED}", body)
    return Trigger(ledger, kind, name, (create,))


_TRIGGERS: Any = text(rf"""
SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger, t.tgenabled::text AS enabled,
       t.tgparentid <> 0 AS is_clone, p.prosrc AS body,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AS is_inherited
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND left(t.tgname, {len(PREFIX)}) = '{PREFIX}'
ORDER BY n.nspname, c.relname, t.tgname""")

_READERS: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname ~ '^{PREFIX}(paths|notes)_v'""")

_INDEXES: Any = text(f"""
SELECT n.nspname AS schema, t.relname AS name, c.relname AS index_name, i.indisvalid AS is_valid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE left(c.relname, {len(PREFIX) + 7}) = '{PREFIX}index_v'""")

_UNREAD: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname ~ '^{PREFIX}(paths|notes)_v'
AND NOT EXISTS (SELECT FROM pg_depend d
                WHERE d.refobjid = p.oid AND d.refclassid = 'pg_proc'::regclass)
AND NOT EXISTS (SELECT FROM pg_proc u WHERE u.proname ~ '^{PREFIX}(released|truncated)_v'
                AND strpos(u.prosrc, p.proname) > 0)""")

_UNUSED: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname ~ '^{PREFIX}(released|truncated)_v'
AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)""")

_DESCENDANTS: Any = text("""
WITH RECURSIVE below AS (
  SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:name)
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
SELECT n.nspname AS schema, c.relname AS name, c.relispartition AS is_partition
FROM below b JOIN pg_class c ON c.oid = b.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname""")
