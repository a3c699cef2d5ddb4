"""Triggers on PostgreSQL: two functions for each table, and one that reads paths of a value.

The triggers have no WHEN: a column in it could neither be dropped nor get another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, literal, literal_column, text

from sqlalchemy_file.ledger.columns import (
    PREFIX,
    FileColumns,
    Found,
    Lookup,
    Place,
    Trigger,
    note,
    qualified,
    quoted,
    read_note,
    trigger_name,
)
from sqlalchemy_file.ledger.dialects import Database, Feed
from sqlalchemy_file.ledger.dialects.postgresql_bodies import (
    PINNED,
    UNREADABLE,
    Used,
    create_function,
    reader_body,
    row_body,
    truncate_body,
)
from sqlalchemy_file.ledger.tables import KEPT, NEVER, RELEASES

READABLE = ("text", "character varying", "json", "jsonb")
"""The types whose values are read. To read others may call a function of their owner."""

Below = Mapping[Place, Sequence[tuple[Place, bool]]]
"""By table, the tables below it, and whether each is a partition; else it inherits."""


class PostgreSQL(Database):
    """PostgreSQL, where functions read values, with the rights of the role of the statement."""

    def place(self, connection: Connection, table: str, schema: str | None) -> Place | None:
        # Of a schema that this role may not use, to_regclass() would end the transaction.
        query = text(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = CAST(:table AS name) AND c.relkind IN ('r', 'p') "
            "AND CASE WHEN CAST(:schema AS name) IS NULL THEN pg_table_is_visible(c.oid) "
            "ELSE n.nspname = CAST(:schema AS name) END AND has_schema_privilege(n.oid, 'USAGE')"
        )
        found = connection.execute(query, {"table": table, "schema": schema}).scalar()
        return Place(str(found), table) if found is not None else None

    def is_view(self, connection: Connection, table: str, schema: str | None) -> bool:
        name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        kind = "SELECT relkind IN ('v', 'm', 'f') FROM pg_class WHERE oid = to_regclass(:name)"
        return bool(connection.execute(text(kind), {"name": name}).scalar())

    def columns(self, connection: Connection, where: Place) -> dict[str, bool]:
        rows = connection.execute(_COLUMNS, {"name": qualified(where)})
        return {row.name: row.is_readable for row in rows}

    def folded(self, name: str) -> str:
        return name

    def needed(
        self, connection: Connection, ledger: Place, feeds: Sequence[Feed]
    ) -> Iterator[Trigger]:
        notes, paths = (_reader(ledger, kind) for kind in ("notes", "paths"))
        keeping = _view_of_kept(ledger)
        pieces = {"noted": notes, "kept": keeping, "indexed": paths}
        for columns, piece in pieces.items():
            if any(getattr(files, columns) for _, files in feeds):
                yield piece
        below = {where: _descendants(connection, where) for where, _ in feeds}
        noting = _shared(feeds, below)
        used = Used(ledger, *(Place(ledger.schema, each.name) for each in (keeping, notes)))
        for where, files in feeds:
            yield from _indexes(ledger, paths, where, files.indexed)
            if noting[where].noted:
                yield from _triggers(connection, used, where, noting, below)

    def found(self, connection: Connection) -> Iterator[Found]:
        yield from _found_triggers(connection)
        for row in connection.execute(_INDEXES).all():
            drop = (f"DROP INDEX IF EXISTS {quoted(row.schema)}.{quoted(row.index_name)}",)
            fault = None if row.is_valid else "it was not built to its end"
            yield Found(Place(row.schema, row.name), row.index_name, drop, "", fault)
        for row in connection.execute(_VIEWS).all():
            ledger = Place(row.schema, RELEASES)
            rights = f"INSERT (path, storage, lease, due_at) ON {qualified(ledger)}"
            repair = (
                _let_note(Place(row.schema, row.name)),
                f"GRANT {rights} TO {quoted(row.owner)}",
            )
            fault = None if row.may_note else "PUBLIC, or its owner in the ledger, may not INSERT"
            yield Found(ledger, row.name, (), "", fault, repair)
        for row in connection.execute(_FUNCTIONS).all():
            place = read_note(row.body).get("ledger", "").removeprefix(f"{row.schema}.")
            if row.is_reader:
                yield Found(Place(row.schema, place), row.name, (), row.body)

    def unused(self, connection: Connection, ledger: Place) -> Sequence[str]:
        functions = [
            f"DROP FUNCTION IF EXISTS {qualified(Place(row.schema, row.name))}({row.parameters})"
            for row in connection.execute(_FUNCTIONS).all()
            if not row.is_used and read_note(row.body).get("ledger") == str(ledger)
        ]
        views = [
            f"DROP VIEW IF EXISTS {qualified(Place(row.schema, row.name))}"
            for row in connection.execute(_VIEWS).all()
            if row.schema == ledger.schema and not row.is_used
        ]
        return [*functions, *views]

    def lookup(
        self, connection: Connection, ledger: Place, where: Place, column: str
    ) -> Lookup | None:
        reader = _reader(ledger, "paths")
        index = next(_indexes(ledger, reader, where, (column,)))
        query = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid")
        name = qualified(Place(where.schema, index.name))
        if connection.execute(query, {"name": name}).first() is None:
            return None
        expression = literal_column(_read(ledger, reader, column), ARRAY(Text))
        # As `overlap` of the dialect's own ARRAY, which would load the dialect for everybody.
        return lambda paths: expression.bool_op("&&")(literal([*paths, UNREADABLE], ARRAY(Text)))


def _triggers(
    connection: Connection, used: Used, where: Place, noting: dict[Place, FileColumns], below: Below
) -> Iterator[Trigger]:
    """Yield the triggers of a table, and of tables below it without their own.

    PostgreSQL clones row triggers to partitions, but not those for TRUNCATE.
    """
    rows = _trigger_function("released", where, row_body(used, noting[where]))
    truncated = _trigger_function("truncated", where, truncate_body(used, noting[where]))
    others = [each for each in below[where] if not (each[0] in noting and noting[each[0]].noted)]
    for table, is_partition in [(where, False), *others]:
        for kind in () if is_partition else ("update", "delete"):
            yield _trigger(connection, table, kind, "AFTER", "ROW", rows)
        yield _trigger(connection, table, "truncate", "BEFORE", "STATEMENT", truncated)


def _shared(feeds: Sequence[Feed], below: Below) -> dict[Place, FileColumns]:
    """Return the columns that the triggers of each table read.

    A table that inherits records its parent's columns with its own. A partition has its parent's
    row triggers, and records the rest.
    """
    noting = dict(feeds)
    for where, files in feeds:
        for table, is_partition in below[where]:
            own = noting.get(table)
            if own is None:
                continue
            columns, kept = (
                [each for each in mine if each not in its] if is_partition else [*mine, *its]
                for mine, its in ((own.columns, files.columns), (own.kept, files.kept))
            )
            noting[table] = replace(
                own, columns=tuple(dict.fromkeys(columns)), kept=tuple(dict.fromkeys(kept))
            )
    return noting


def _trigger_function(kind: str, where: Place, body: str) -> Trigger:
    function = Place(where.schema, trigger_name(kind, where, body))
    options = PINNED if kind == "released" else f"{PINNED} SET row_security = off"
    create = create_function(f"{qualified(function)}()", "trigger", options, body)
    return Trigger(function, kind, function.table, (create,))


def _trigger(
    connection: Connection, table: Place, kind: str, moment: str, rows: str, function: Trigger
) -> Trigger:
    name = trigger_name(kind, table, function.place)
    event = (
        f"TRIGGER {name} {moment} {kind.upper()} ON {qualified(table)} "
        f"FOR EACH {rows} EXECUTE FUNCTION {qualified(function.place)}()"
    )
    # At REPEATABLE READ, a trigger that another process has created meanwhile is not seen.
    if (connection.dialect.server_version_info or ()) >= (14,):
        return Trigger(table, kind, name, (*function.create, f"CREATE OR REPLACE {event}"))
    drop = f"DROP TRIGGER IF EXISTS {name} ON {qualified(table)}"
    return Trigger(table, kind, name, (*function.create, drop, f"CREATE {event}"))


def _found_triggers(connection: Connection) -> Iterator[Found]:
    for row in connection.execute(_TRIGGERS).all():
        where, name = Place(row.schema, row.name), quoted(row.trigger)
        yield Found(
            where,
            row.trigger,
            () if row.is_clone else (f"DROP TRIGGER IF EXISTS {name} ON {qualified(where)}",),
            row.body,
            None if row.enabled in ("O", "A") else "it is disabled",
            (f"ALTER TABLE {qualified(where)} ENABLE TRIGGER {name}",),
            row.is_inherited,
        )


def _indexes(
    ledger: Place, reader: Trigger, where: Place, names: Sequence[str]
) -> Iterator[Trigger]:
    for column in names:
        expression = _read(ledger, reader, column)
        # Each search for a path would read all pending entries of the index.
        definition = f"USING gin (({expression})) WITH (fastupdate = off)"
        name = trigger_name("index", where, definition)
        create = f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {qualified(where)} {definition}"
        yield Trigger(where, "index", name, (create,))


def _read(ledger: Place, reader: Trigger, column: str) -> str:
    return f"{qualified(Place(ledger.schema, reader.name))}({quoted(column)}::text)"


def _descendants(connection: Connection, where: Place) -> list[tuple[Place, bool]]:
    rows = connection.execute(_DESCENDANTS, {"name": qualified(where)}).all()
    return [(Place(row.schema, row.name), row.is_partition) for row in rows]


def _reader(ledger: Place, kind: str) -> Trigger:
    body = f"{note(ledger)}{reader_body(kind)}"
    name = trigger_name(kind, ledger, body)
    signature = f"{qualified(Place(ledger.schema, name))}(value text)"
    # Not PARALLEL SAFE: a worker cannot begin the subtransaction that EXCEPTION needs.
    create = create_function(signature, "text[]", f"IMMUTABLE STRICT COST 10000 {PINNED}", body)
    return Trigger(ledger, kind, name, (create,))


def _view_of_kept(ledger: Place) -> Trigger:
    """Return the view into which triggers write the paths of kept objects.

    PUBLIC may insert only path and storage there, so it cannot write entries with other leases.
    """
    select = f"SELECT path, storage, lease, due_at FROM {qualified(ledger)}"
    name = trigger_name("kept", ledger, select, KEPT, NEVER)
    view = Place(ledger.schema, name)
    create = (
        f"CREATE OR REPLACE VIEW {qualified(view)} AS {select}",
        f"ALTER VIEW {qualified(view)} ALTER lease SET DEFAULT '{KEPT}'",
        f"ALTER VIEW {qualified(view)} ALTER due_at SET DEFAULT {NEVER}",
        _let_note(view),
    )
    return Trigger(ledger, "kept", name, create)


def _let_note(view: Place) -> str:
    return f"GRANT INSERT (path, storage) ON {qualified(view)} TO PUBLIC"


_TRIGGERS: Any = text(rf"""
SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger, t.tgenabled::text AS enabled,
       t.tgparentid <> 0 AS is_clone, p.prosrc AS body,
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AS is_inherited
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND left(t.tgname, {len(PREFIX)}) = '{PREFIX}'
ORDER BY n.nspname, c.relname, t.tgname""")

_FUNCTIONS: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body,
       pg_get_function_identity_arguments(p.oid) AS parameters,
       p.proname ~ '^{PREFIX}(paths|notes)_v' AS is_reader,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)
       OR EXISTS (SELECT FROM pg_depend d
                  WHERE d.refobjid = p.oid AND d.refclassid = 'pg_proc'::regclass)
       OR EXISTS (SELECT FROM pg_proc u WHERE u.proname ~ '^{PREFIX}(released|truncated)_v'
                  AND strpos(u.prosrc, p.proname) > 0) AS is_used
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname ~ '^{PREFIX}(paths|notes|released|truncated)_v'""")

_VIEWS: Any = text(f"""
SELECT n.nspname AS schema, c.relname AS name,
       pg_get_userbyid(c.relowner) AS owner,
       has_column_privilege('public', c.oid, 'path', 'INSERT')
       AND has_column_privilege('public', c.oid, 'storage', 'INSERT')
       AND NOT EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = to_regclass(format('%I.{RELEASES}', n.nspname))
                       AND a.attname IN ('path', 'storage', 'lease', 'due_at')
                       AND NOT has_column_privilege(c.relowner, a.attrelid, a.attnum, 'INSERT'))
       AS may_note,
       EXISTS (SELECT FROM pg_proc u WHERE u.proname ~ '^{PREFIX}(released|truncated)_v'
               AND strpos(u.prosrc, c.relname) > 0) AS is_used
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND c.relname ~ '^{PREFIX}kept_v'""")

_INDEXES: Any = text(f"""
SELECT n.nspname AS schema, t.relname AS name, c.relname AS index_name, i.indisvalid AS is_valid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE left(c.relname, {len(PREFIX) + 7}) = '{PREFIX}index_v'""")

_COLUMNS: Any = text(f"""
SELECT attname AS name, atttypid::regtype::text IN {READABLE} AS is_readable
FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped""")

_DESCENDANTS: Any = text("""
WITH RECURSIVE below AS (
  SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:name)
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
SELECT n.nspname AS schema, c.relname AS name, c.relispartition AS is_partition
FROM below b JOIN pg_class c ON c.oid = b.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname""")
