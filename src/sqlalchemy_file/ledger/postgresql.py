"""The triggers on PostgreSQL: one function a table, and one that reads the paths out of a value.

The triggers have no WHEN: a column that stands in one could neither be dropped nor get another
type before its trigger is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, literal, literal_column, text

from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.triggers import (
    LONGEST_PATH,
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
    """Yield the function that reads paths, and the triggers that these tables need."""
    reader = _reader(ledger)
    if feeds:
        yield reader
    own = {where for where, _ in feeds}
    for where, files in feeds:
        yield from _indexes(ledger, reader, where, files.indexed)
        if not files.columns:
            continue
        body = _body(ledger, reader, files.columns)
        function = Place(where.schema, trigger_name("released", where, body))
        create = (
            _function(f"{qualified(function)}()", "trigger", _SECURED, body),
            # Whoever could make a trigger of it could have any object deleted.
            f"REVOKE ALL ON FUNCTION {qualified(function)}() FROM PUBLIC",
        )
        for table, is_partition in [(where, False), *_descendants(connection, where)]:
            if table != where and table in own:
                continue
            for kind in ("truncate",) if is_partition else ("update", "delete", "truncate"):
                name = trigger_name(kind, table, function)
                moment, rows = ("BEFORE", "STATEMENT") if kind == "truncate" else ("AFTER", "ROW")
                trigger = (
                    f"CREATE TRIGGER {name} {moment} {kind.upper()} ON {qualified(table)} "
                    f"FOR EACH {rows} EXECUTE FUNCTION {qualified(function)}()"
                )
                yield Trigger(table, kind, name, (*create, trigger))


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
    index = next(_indexes(ledger, _reader(ledger), where, (column,)))
    query = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid")
    name = qualified(Place(where.schema, index.name))
    if connection.execute(query, {"name": name}).first() is None:
        return None
    expression = literal_column(_read(ledger, _reader(ledger), column), ARRAY(Text))
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


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified(where: Place) -> str:
    """Quote a name with its schema."""
    return f"{quoted(where.schema)}.{quoted(where.table)}"


def _escaped(body: str) -> str:
    # Not dollar quotes: names in the body may hold whatever tag one chooses.
    return "E'" + body.replace("\\", "\\\\").replace("'", "''") + "'"


def _descendants(connection: Connection, where: Place) -> list[tuple[Place, bool]]:
    """Return the partitions of a table, and the tables that inherit from it.

    PostgreSQL clones row triggers to partitions, but not those for TRUNCATE.
    """
    rows = connection.execute(_DESCENDANTS, {"name": qualified(where)}).all()
    return [(Place(row.schema, row.name), row.is_partition) for row in rows]


def _reader(ledger: Place) -> Trigger:
    body = f"{note(ledger, ())}{_READER}"
    name = trigger_name("paths", ledger, body)
    signature = f"{qualified(Place(ledger.schema, name))}(value text)"
    # Not PARALLEL SAFE: a worker cannot begin the subtransaction that EXCEPTION needs.
    create = _function(signature, "text[]", "IMMUTABLE STRICT COST 10000", body)
    return Trigger(ledger, "paths", name, (create,))


def _function(signature: str, returned: str, options: str, body: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returned} "
        f"LANGUAGE plpgsql {options} AS {_escaped(body)}"
    )


UNREADABLE = "\x01"
"""What stands for the paths of a value that cannot be read."""

_SECURED = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

# What jsonb refuses, an escaped NUL and halves of surrogate pairs, becomes U+0001: no key has that.
_REFUSED = _escaped(
    r"(?<!\\)((?:\\\\)*)(?:\\u0000|\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F](?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F])\\u[dD][c-fC-F][0-9a-fA-F][0-9a-fA-F])"
)
_CONTROL = _escaped(r"\1\\u0001")
# All that `paths_of` of a record knows. The plainest record needs no query; of what cannot be read
# at all U+0001 tells.
_READER = f"""
DECLARE
  sound text := value;
  found jsonb;
  path text;
BEGIN
  FOR attempt IN 1..2 LOOP
    BEGIN
      found := sound::jsonb;
      path := found ->> 'path';
      IF found -> 'files' = jsonb_build_array(path) AND octet_length(path) <= {LONGEST_PATH}
      AND strpos(path, chr(1)) = 0 AND NOT found ?| ARRAY['thumbnail', 'variants'] THEN
        RETURN ARRAY[path];
      END IF;
      RETURN ARRAY(
        SELECT DISTINCT item #>> '{{}}' FROM (
          SELECT jsonb_path_query(found, '$[*].path') UNION ALL
          SELECT jsonb_path_query(found, '$[*].files[*]') UNION ALL
          SELECT jsonb_path_query(found, '$[*].thumbnail.path') UNION ALL
          SELECT jsonb_path_query(found, '$[*].variants.*.path') UNION ALL
          SELECT to_jsonb((record ->> 'upload_storage') || '/' || (record ->> 'file_id'))
          FROM jsonb_path_query(found, '$[*]') AS record
          WHERE NOT coalesce(jsonb_typeof(record -> 'path') = 'string', false)
          AND NOT coalesce(jsonb_typeof(record -> 'files') = 'array'
                           AND jsonb_typeof(record -> 'files' -> 0) = 'string', false)
        ) AS each (item)
        WHERE jsonb_typeof(item) = 'string' AND octet_length(item #>> '{{}}') <= {LONGEST_PATH}
        AND strpos(item #>> '{{}}', chr(1)) = 0);
    EXCEPTION WHEN OTHERS THEN
      sound := regexp_replace(value, {_REFUSED}, {_CONTROL}, 'g');
    END;
  END LOOP;
  RETURN ARRAY[chr(1)];
END"""


def _body(ledger: Place, reader: Trigger, names: Sequence[str]) -> str:
    """Return the body of a trigger's function; a block with EXCEPTION is what costs in it.

    A column or function that is gone must not make the user's statement fail: then the columns
    are read one by one.
    """
    paths = qualified(Place(ledger.schema, reader.name))
    columns = list(map(quoted, names))
    clock = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    insert = f"INSERT INTO {qualified(ledger)} (path, at, due_at) SELECT p, {clock}, {clock} FROM"
    before = f"{insert} (SELECT DISTINCT p FROM "
    after = (
        f" AS t, LATERAL (VALUES {', '.join(f'({each}::text)' for each in columns)}) AS v (value), "
        f"LATERAL unnest({paths}(v.value)) AS p WHERE p <> chr(1)) AS released"
    )
    same = " AND ".join(
        f"OLD.{each}::text IS NOT DISTINCT FROM NEW.{each}::text" for each in columns
    )
    one_by_one = "\n".join(
        f"""    BEGIN
      IF TG_OP = 'UPDATE' THEN kept := kept || {_all_paths(paths, "NEW", [each])}; END IF;
      released := released || {_all_paths(paths, "OLD", [each])};
    EXCEPTION WHEN OTHERS THEN NULL; END;"""
        for each in columns
    )
    return f"""{note(ledger, names)}
DECLARE
  released text[] := '{{}}';
  kept text[] := '{{}}';
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    IF to_regclass({_escaped(qualified(ledger))}) IS NULL THEN RETURN NULL; END IF;
    BEGIN
      EXECUTE {_escaped(before)} || TG_RELID::regclass::text || {_escaped(after)};
    EXCEPTION WHEN undefined_column OR undefined_function THEN NULL; END;
    RETURN NULL;
  END IF;
  BEGIN
    IF TG_OP = 'UPDATE' THEN
      IF {same} THEN RETURN NULL; END IF;
      kept := {_all_paths(paths, "NEW", columns)};
    END IF;
    released := {_all_paths(paths, "OLD", columns)};
  EXCEPTION WHEN OTHERS THEN
    kept := '{{}}';
{one_by_one}
  END;
  released := array_remove(released, chr(1));
  IF released = '{{}}' OR to_regclass({_escaped(qualified(ledger))}) IS NULL THEN
    RETURN NULL;
  END IF;
  IF cardinality(released) > 1 THEN
    {insert} (SELECT unnest(released) EXCEPT SELECT unnest(kept)) AS r (p);
  ELSIF released[1] <> ALL (kept) THEN
    INSERT INTO {qualified(ledger)} (path, at, due_at) VALUES (released[1], {clock}, {clock});
  END IF;
  RETURN NULL;
END"""


def _all_paths(reader: str, row: str, columns: Sequence[str]) -> str:
    return " || ".join(f"coalesce({reader}({row}.{each}::text), '{{}}')" for each in columns)


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
WHERE left(p.proname, {len(PREFIX) + 7}) = '{PREFIX}paths_v'""")

_INDEXES: Any = text(f"""
SELECT n.nspname AS schema, t.relname AS name, c.relname AS index_name, i.indisvalid AS is_valid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE left(c.relname, {len(PREFIX) + 7}) = '{PREFIX}index_v'""")

_UNREAD: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE left(p.proname, {len(PREFIX) + 7}) = '{PREFIX}paths_v'
AND NOT EXISTS (SELECT FROM pg_depend d
                WHERE d.refobjid = p.oid AND d.refclassid = 'pg_proc'::regclass)
AND NOT EXISTS (SELECT FROM pg_proc u WHERE left(u.proname, {len(PREFIX) + 10}) =
                '{PREFIX}released_v' AND strpos(u.prosrc, p.proname) > 0)""")

_UNUSED: Any = text(f"""
SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE left(p.proname, {len(PREFIX) + 10}) = '{PREFIX}released_v'
AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)""")

_DESCENDANTS: Any = text("""
WITH RECURSIVE below AS (
  SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:name)
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
SELECT n.nspname AS schema, c.relname AS name, c.relispartition AS is_partition
FROM below b JOIN pg_class c ON c.oid = b.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname""")
