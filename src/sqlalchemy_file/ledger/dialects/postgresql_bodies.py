"""The functions on PostgreSQL that read paths of values and write ledger entries.

They have the rights of the role whose statement fires them. They look names up in ``pg_catalog``
only, so nobody can replace a function or an operator that they use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy_file.ledger.columns import (
    LONGEST_PATH,
    LONGEST_VALUE,
    FileColumns,
    Place,
    Release,
    note,
    qualified,
    quoted,
)
from sqlalchemy_file.ledger.tables import MISSED, NOW_ON_POSTGRESQL

UNREADABLE = "\x01"
"""Replaces the paths of an unreadable value; in a note it separates storage and path."""

PINNED = "SET search_path = pg_catalog, pg_temp"


def literal(text: str) -> str:
    """Quote a string. Dollar quotes are not safe: a name in the body may contain their tag."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def create_function(signature: str, returned: str, options: str, body: str) -> str:
    """Return the statement that creates a function, for anybody to run."""
    return (
        f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returned} "
        f"LANGUAGE plpgsql {options} AS {literal(body)}"
    )


def reader_body(kind: str) -> str:
    """Return the body of the function that reads the same paths as `paths_of` of a record.

    With ``kind="notes"`` each has its storage in front. A plain record needs no query. An
    unreadable value gives `UNREADABLE`.
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


class Used(NamedTuple):
    """What a trigger function uses: the ledger, the view of kept objects, and a reader."""

    ledger: Place
    keeping: Place
    reader: Place

    def into(self, release: Release) -> Place:
        """Return where paths are recorded."""
        return self.keeping if release.is_kept else self.ledger


def row_body(used: Used, files: FileColumns) -> str:
    """Return the body of the trigger function for rows.

    It has one block, because a subtransaction is most of its cost. If that fails, the row is read
    again as JSON, which works if a column is gone or has another type.
    """
    same = " AND ".join(
        f"OLD.{each}::text IS NOT DISTINCT FROM NEW.{each}::text"
        for each in map(quoted, files.noted)
    )
    return f"""{note(used.ledger, files.columns, files.kept)}
DECLARE
  released text[];
  kept text[] := '{{}}';
  name text;
  split int;
BEGIN
  BEGIN
    IF TG_OP = 'UPDATE' THEN
      IF {same} THEN RETURN NULL; END IF;
    END IF;{"".join(_record(used, each) for each in files.releases)}
    RETURN NULL;
  EXCEPTION WHEN OTHERS THEN NULL;
  END;{"".join(_record_by_json(used, each) for each in files.releases)}
  RETURN NULL;
END"""


def _record(used: Used, release: Release) -> str:
    """Return SQL that records the paths that a row no longer has. One path needs no query."""
    reader, into = qualified(used.reader), used.into(release)
    return f"""
    IF TG_OP = 'UPDATE' THEN kept := {_all_notes(reader, "NEW", release.now)}; END IF;
    released := array_remove({_all_notes(reader, "OLD", release.columns)}, chr(1));
    IF cardinality(released) = 1 THEN
      IF released[1] <> ALL (kept) THEN
        split := strpos(released[1], chr(1));
        INSERT INTO {qualified(into)} (path, storage)
        VALUES (substr(released[1], split + 1), nullif(left(released[1], split - 1), ''));
      END IF;
    ELSIF cardinality(released) > 1 THEN
      {_insert(into, "SELECT unnest(released) EXCEPT SELECT unnest(kept)")};
    END IF;"""


def _record_by_json(used: Used, release: Release) -> str:
    """Return SQL that reads a row as JSON, column by column, and records the same."""
    reader = qualified(used.reader)
    old, new = (f"coalesce({reader}({_in_json(row, 'name')}), '{{}}')" for row in ("OLD", "NEW"))
    released = "SELECT unnest(array_remove(released, chr(1))) EXCEPT SELECT unnest(kept)"
    return f"""
  released := '{{}}';
  kept := '{{}}';
  FOREACH name IN ARRAY {_names(release.now)} LOOP
    BEGIN
      IF TG_OP = 'UPDATE' THEN kept := kept || {new}; END IF;
      IF name = ANY ({_names(release.columns)}) THEN released := released || {old}; END IF;
    EXCEPTION WHEN OTHERS THEN
      {_missed(used.ledger)}
    END;
  END LOOP;
  BEGIN
    {_insert(used.into(release), released)};
  EXCEPTION WHEN OTHERS THEN
    {_missed(used.ledger)}
  END;"""


def truncate_body(used: Used, files: FileColumns) -> str:
    """Return the body of the trigger function for TRUNCATE, which reads all rows before.

    It runs with row_security off: rows that a policy hides are an error.
    """
    return f"""{note(used.ledger, files.columns, files.kept)}
BEGIN
  BEGIN
    {_record_all(used, files, lambda name: f"t.{quoted(name)}::text")}
    RETURN NULL;
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  BEGIN
    {_record_all(used, files, lambda name: _in_json("t", literal(name)))}
  EXCEPTION WHEN OTHERS THEN
    {_missed(used.ledger)}
  END;
  RETURN NULL;
END"""


def _record_all(used: Used, files: FileColumns, read: Callable[[str], str]) -> str:
    return "\n    ".join(
        f"EXECUTE {_from_table(used.into(each), used.reader, list(map(read, each.columns)))};"
        for each in files.releases
    )


def _said(kind: str, storage: str, path: str) -> str:
    if kind == "paths":
        return path
    return (
        f"CASE WHEN starts_with({path}, {storage} || '/') THEN {storage} ELSE '' END "
        f"|| chr(1) || {path}"
    )


def _all_notes(reader: str, row: str, columns: Sequence[str]) -> str:
    return " || ".join(
        f"coalesce({reader}({row}.{quoted(each)}::text), '{{}}')" for each in columns
    )


def _names(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, names))}]::text[]"


def _in_json(row: str, name: str) -> str:
    """Return a column's value as text, read as JSON; NULL for a missing column."""
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
      BEGIN
        PERFORM setval({sequence}, {NOW_ON_POSTGRESQL});
      EXCEPTION WHEN OTHERS THEN NULL; END;"""


def _made_sound() -> str:
    """Return the expression that replaces escapes which jsonb refuses: NUL and lone surrogates.

    They become U+0001, which no key has. Each step takes linear time: escaped backslashes are
    replaced, and whole pairs set aside.
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
