"""The functions on PostgreSQL that read paths of values and write ledger entries.

They have the rights of the role whose statement fires them. They look names up in ``pg_catalog``
only, so nobody can replace a function or an operator that they use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.tables import MISSED
from sqlalchemy_file.ledger.triggers import LONGEST_PATH, LONGEST_VALUE, Place, note

UNREADABLE = "\x01"
"""What stands for the paths of a value that cannot be read; in a note it parts storage and path."""

PINNED = "SET search_path = pg_catalog, pg_temp"

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified(where: Place) -> str:
    """Quote a name with its schema."""
    return f"{quoted(where.schema)}.{quoted(where.table)}"


def literal(text: str) -> str:
    """Quote a string; no dollar quotes, for names in a body may hold whatever tag one chooses."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def create_function(signature: str, returned: str, options: str, body: str) -> str:
    """Return the statement that creates a function, for anybody to run."""
    return (
        f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returned} "
        f"LANGUAGE plpgsql {options} AS {literal(body)}"
    )


def reader_body(kind: str) -> str:
    """Return the body of the function that reads all paths that `paths_of` of a record knows.

    With ``kind="notes"`` each has its storage in front. The plainest record needs no query; what
    cannot be read at all is told by `UNREADABLE`.
    """
    return f"""
DECLARE
  sound text := value;
  found jsonb;
  path text;
  storage text;
BEGIN
  IF octet_length(value) > {LONGEST_VALUE} THEN RETURN ARRAY[chr(1)]; END IF;
  FOR attempt IN 1..2 LOOP
    BEGIN
      found := sound::jsonb;
      path := found ->> 'path';
      storage := found ->> 'upload_storage';
      IF found -> 'files' = jsonb_build_array(path) AND octet_length(path) <= {LONGEST_PATH}
      AND strpos(path, chr(1)) = 0 AND NOT found ?| ARRAY['thumbnail', 'variants'] THEN
        RETURN ARRAY[{_said(kind, "storage", "path")}];
      END IF;
      RETURN ARRAY(
        SELECT DISTINCT {_said(kind, "named.storage", "named.path")} FROM (
          SELECT item #>> '{{}}', record ->> 'upload_storage'
          FROM jsonb_path_query(found, '$[*]') AS record, LATERAL (
            SELECT record -> 'path' UNION ALL
            SELECT jsonb_path_query(record, '$.files[*]') UNION ALL
            SELECT jsonb_path_query(record, '$.thumbnail.path') UNION ALL
            SELECT jsonb_path_query(record, '$.variants.*.path') UNION ALL
            SELECT to_jsonb((record ->> 'upload_storage') || '/' || (record ->> 'file_id'))
            WHERE NOT coalesce(jsonb_typeof(record -> 'path') = 'string', false)
            AND NOT coalesce(jsonb_typeof(record -> 'files') = 'array'
                             AND jsonb_typeof(record -> 'files' -> 0) = 'string', false)
          ) AS each (item)
          WHERE jsonb_typeof(record) = 'object' AND jsonb_typeof(item) = 'string'
        ) AS named (path, storage)
        WHERE octet_length(named.path) <= {LONGEST_PATH} AND strpos(named.path, chr(1)) = 0);
    EXCEPTION WHEN OTHERS THEN
      sound := {_MADE_SOUND};
    END;
  END LOOP;
  RETURN ARRAY[chr(1)];
END"""


@dataclass(frozen=True, slots=True)
class Used:
    """What a trigger function uses: the ledger, the view for what is kept, and a reader."""

    ledger: Place
    keeping: Place
    reader: Place


def row_body(used: Used, files: FileColumns) -> str:
    """Return the body of the trigger function for rows.

    All that can fail stands in one block: a subtransaction is most of what the trigger costs. If
    it fails, rows are read again by way of JSON, which a column that is gone or has another type
    does not disturb.
    """
    ledger, reader = used.ledger, qualified(used.reader)
    columns = list(map(quoted, files.columns))
    same = " AND ".join(
        f"OLD.{each}::text IS NOT DISTINCT FROM NEW.{each}::text"
        for each in map(quoted, files.noted)
    )
    return f"""{note(ledger, files.columns, files.kept)}
DECLARE
  released text[];
  kept text[] := '{{}}';
  name text;
  split int;
BEGIN
  BEGIN
    IF TG_OP = 'UPDATE' THEN
      IF {same} THEN RETURN NULL; END IF;
      kept := {_all_notes(reader, "NEW", columns)};
    END IF;
    released := array_remove({_all_notes(reader, "OLD", columns)}, chr(1));
    IF cardinality(released) = 1 THEN
      IF released[1] <> ALL (kept) THEN
        split := strpos(released[1], chr(1));
        INSERT INTO {qualified(ledger)} (path, storage)
        VALUES (substr(released[1], split + 1), nullif(left(released[1], split - 1), ''));
      END IF;
    ELSIF cardinality(released) > 1 THEN
      {_insert(ledger, "SELECT unnest(released) EXCEPT SELECT unnest(kept)")};
    END IF;{_note_kept(used, files)}
    RETURN NULL;
  EXCEPTION WHEN OTHERS THEN
    released := '{{}}';
    kept := '{{}}';
  END;{_note_again(used, files.columns, files.columns)}{
        _note_again(used, files.kept, files.noted, is_kept=True)
    }
  RETURN NULL;
END"""


def _note_kept(used: Used, files: FileColumns) -> str:
    """Return what notes the objects of keeping columns, unless the row goes on naming them."""
    if not files.kept:
        return ""
    reader = qualified(used.reader)
    insert = _insert(used.keeping, "SELECT unnest(released) EXCEPT SELECT unnest(kept)")
    return f"""
    IF TG_OP = 'UPDATE' THEN kept := {_all_notes(reader, "NEW", list(map(quoted, files.noted)))};
    END IF;
    released := array_remove({_all_notes(reader, "OLD", list(map(quoted, files.kept)))}, chr(1));
    IF cardinality(released) > 0 THEN {insert}; END IF;"""


def _note_again(
    used: Used, was: Sequence[str], now: Sequence[str], *, is_kept: bool = False
) -> str:
    """Return SQL that reads a row as JSON, column by column, and records removed paths."""
    if not was:
        return ""
    ledger, reader = used.ledger, qualified(used.reader)
    old, new = (f"coalesce({reader}({_in_json(row, 'name')}), '{{}}')" for row in ("OLD", "NEW"))
    restart = "\n  released := '{}';\n  kept := '{}';" if is_kept else ""
    taking = f"released := released || {old};"
    if was != now:
        taking = f"IF name = ANY ({_names(was)}) THEN {taking} END IF;"
    released = "SELECT unnest(array_remove(released, chr(1))) EXCEPT SELECT unnest(kept)"
    return f"""{restart}
  FOREACH name IN ARRAY {_names(now)} LOOP
    BEGIN
      IF TG_OP = 'UPDATE' THEN kept := kept || {new}; END IF;
      {taking}
    EXCEPTION WHEN OTHERS THEN
      {_missed(ledger)}
    END;
  END LOOP;
  BEGIN
    {_insert(used.keeping if is_kept else used.ledger, released)};
  EXCEPTION WHEN OTHERS THEN
    {_missed(ledger)}
  END;"""


def truncate_body(used: Used, files: FileColumns) -> str:
    """Return the body of the trigger function for TRUNCATE, which reads all rows beforehand.

    Rows that a policy hides must not be passed over in silence: so it runs with row_security off.
    """
    parts = [(used.ledger, files.columns), (used.keeping, files.kept)]
    return f"""{note(used.ledger, files.columns, files.kept)}
BEGIN
  BEGIN
    {_all_from_table(used.reader, parts, lambda name: f"t.{quoted(name)}::text")}
    RETURN NULL;
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  BEGIN
    {_all_from_table(used.reader, parts, lambda name: _in_json("t", literal(name)))}
  EXCEPTION WHEN OTHERS THEN
    {_missed(used.ledger)}
  END;
  RETURN NULL;
END"""


def _all_from_table(
    notes: Place, parts: Iterable[tuple[Place, Sequence[str]]], read: Callable[[str], str]
) -> str:
    return "\n    ".join(
        f"EXECUTE {_from_table(into, notes, list(map(read, names)))};"
        for into, names in parts
        if names
    )


def _said(kind: str, storage: str, path: str) -> str:
    if kind == "paths":
        return path
    return (
        f"CASE WHEN starts_with({path}, {storage} || '/') THEN {storage} ELSE '' END "
        f"|| chr(1) || {path}"
    )


def _all_notes(reader: str, row: str, columns: Sequence[str]) -> str:
    if not columns:
        return "'{}'::text[]"
    return " || ".join(f"coalesce({reader}({row}.{each}::text), '{{}}')" for each in columns)


def _names(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, names))}]::text[]"


def _in_json(row: str, name: str) -> str:
    """Return a column's value as text, by way of JSON; NULL where there is no such column."""
    value = f"(row_to_json({row}) -> {name})"
    return f"CASE json_typeof({value}) WHEN 'string' THEN {value} #>> '{{}}' ELSE {value}::text END"


def _insert(into: Place, notes: str) -> str:
    return (
        f"INSERT INTO {qualified(into)} (path, storage) "
        "SELECT substr(n, strpos(n, chr(1)) + 1), nullif(split_part(n, chr(1), 1), '') "
        f"FROM ({notes}) AS r (n)"
    )


def _from_table(into: Place, notes: Place, values: Sequence[str]) -> str:
    before = _insert(into, "SELECT DISTINCT n FROM \n").partition("\n")[0]
    rows = ", ".join(f"({value})" for value in values)
    after = (
        f" AS t, LATERAL (VALUES {rows}) AS v (value), "
        f"LATERAL unnest({qualified(notes)}(v.value)) AS n WHERE n <> chr(1)) AS r (n)"
    )
    return f"{literal(before)} || TG_RELID::regclass::text || {literal(after)}"


def _missed(ledger: Place) -> str:
    sequence = literal(qualified(Place(ledger.schema, MISSED)))
    return f"""RAISE WARNING 'sqlalchemy-file: what % of %.% releases is not noted: %',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM;
      BEGIN PERFORM setval({sequence}, {_NOW}); EXCEPTION WHEN OTHERS THEN NULL; END;"""


def _made_sound() -> str:
    """Return what rids text of escapes that jsonb refuses: of a NUL, and of half a surrogate pair.

    They become U+0001, which no key has. Each step takes time in proportion to the length: first
    no backslash is escaped by another, then whole pairs are set aside.
    """
    backslash = chr(92)
    high, low = r"([dD][89abAB][0-9a-fA-F]{2})", r"([dD][c-fC-F][0-9a-fA-F]{2})"
    first, second = literal(backslash + "1"), literal(backslash + "2")
    aside = f"chr(2) || {first} || chr(3) || {second}"
    text = f"replace(value, {literal(2 * backslash)}, {literal(backslash + 'u005c')})"
    text = f"regexp_replace({text}, {literal(_U + high + _U + low)}, {aside}, 'g')"
    half, none = literal(f"{_U}(0000|{high}|{low})"), literal(_U + "0001")
    text = f"regexp_replace({text}, {half}, {none}, 'g')"
    for mark in (2, 3):
        text = f"replace({text}, chr({mark}), {literal(backslash + 'u')})"
    return text


_U = r"\\u"  # the beginning of an escape, to a regular expression
_MADE_SOUND = _made_sound()
