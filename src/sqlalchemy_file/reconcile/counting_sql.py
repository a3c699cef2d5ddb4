"""SQL that counts the files of one column where its rows look as this package writes them.

Each `Dialect` takes the SQL of a value and returns the SQL of what is said about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_Sql = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database reads a value.

    ``records`` is a row source named ``r``, ``storage`` and ``size`` are read from its rows;
    ``is_sound`` never fails, and where it is true, none of the others does.
    """

    text: str
    raw: _Sql
    records: _Sql
    storage: str
    size: str
    is_sound: _Sql

    def count(self, table: str, value: str) -> str:
        """Return the query for storage, number of files and bytes of all sound rows."""
        checked = f"CASE WHEN {self.is_sound(value)} THEN {value} ELSE '[]' END"
        return (
            f"SELECT {self.storage}, count(*), sum({self.size}) "  # noqa: S608
            f"FROM {table} AS t, {self.records(checked)} WHERE {value} IS NOT NULL GROUP BY 1"
        )

    def rest(self, table: str, value: str, keys: str, *, is_all: bool) -> str:
        """Return the query for value and primary key of the other rows, or of all."""
        odd = "" if is_all else f" AND NOT {self.is_sound(value)}"
        return (
            f"SELECT {self.raw(value)}{keys} FROM {table} AS t "  # noqa: S608
            f"WHERE CAST({value} AS {self.text}) <> 'null'{odd}"
        )


def _sqlite_records(value: str) -> str:
    return (
        f"json_each(CASE json_type({value}) WHEN 'array' THEN {value} "
        f"ELSE json_array(json({value})) END) AS r"
    )


def _sqlite_is_sound(value: str) -> str:
    storage, path = "json_extract(r.value, '$.upload_storage')", "json_extract(r.value, '$.path')"
    size = "json_extract(r.value, '$.size')"
    return f"""CASE WHEN typeof({value}) = 'text' AND json_valid({value})
        AND instr({value}, '\\u0000') = 0 AND instr(lower({value}), '\\ud') = 0
        AND json_type({value}) IN ('object', 'array')
        THEN NOT EXISTS (SELECT 1 FROM {_sqlite_records(value)} WHERE NOT CASE r.type
            WHEN 'object' THEN coalesce(json_type(r.value, '$.upload_storage') = 'text'
                AND json_type(r.value, '$.path') = 'text' AND {path} NOT GLOB '*[^ -~]*'
                AND instr(replace(replace({path}, '\\', '//'), '/.', '//'), '//') = 0
                AND substr({path}, 1, length({storage}) + 1) = {storage} || '/'
                AND json_type(r.value, '$.size') = 'integer' AND {size} BETWEEN 0 AND 1e15, 0)
            ELSE 0 END)
        ELSE 0 END"""  # noqa: S608


def _postgresql_records(value: str) -> str:
    return (
        f"json_array_elements(CASE json_typeof(({value})::json) WHEN 'array' THEN ({value})::json "
        f"ELSE json_build_array(({value})::json) END) AS r"
    )


def _postgresql_is_sound(value: str) -> str:
    # Of these escapes ->> makes an error.
    return f"""CASE WHEN {value}::text ~ '\\\\u(0000|[dD][89a-fA-F])' THEN false
        WHEN json_typeof({value}::json) IN ('object', 'array')
        THEN NOT EXISTS (SELECT FROM {_postgresql_records(value)}
            WHERE NOT CASE json_typeof(r.value)
            WHEN 'object' THEN coalesce(json_typeof(r.value->'upload_storage') = 'string'
                AND json_typeof(r.value->'path') = 'string' AND r.value->>'path' ~ '^[ -~]+$'
                AND r.value->>'path' !~ '//|/[.]|[\\\\]'
                AND starts_with(r.value->>'path', (r.value->>'upload_storage') || '/')
                AND json_typeof(r.value->'size') = 'number'
                AND r.value->>'size' ~ '^[0-9]{{1,15}}$', false)
            ELSE false END)
        ELSE false END"""


def _mariadb_records(value: str) -> str:
    return f"""json_table(CASE json_type({value}) WHEN 'ARRAY' THEN {value}
        ELSE concat('[', {value}, ']') END, '$[*]' COLUMNS (record json PATH '$')) AS r"""


def _mariadb_is_sound(value: str) -> str:
    storage = "json_value(r.record, '$.upload_storage')"
    path = "json_value(r.record, '$.path')"
    size = "json_value(r.record, '$.size')"
    return f"""CASE WHEN {value} REGEXP '[\\\\\\\\]u(0000|[dD][89a-fA-F])' THEN false
        WHEN json_valid({value}) AND json_type({value}) IN ('OBJECT', 'ARRAY')
        THEN NOT EXISTS (SELECT 1 FROM {_mariadb_records(value)}
            WHERE NOT coalesce(json_type(r.record) = 'OBJECT'
                AND json_type(json_extract(r.record, '$.upload_storage')) = 'STRING'
                AND json_type(json_extract(r.record, '$.path')) = 'STRING'
                AND {path} REGEXP '^[ -~]+$' AND {path} NOT REGEXP '//|/[.]|[\\\\]'
                AND left({path}, char_length({storage}) + 1) = concat({storage}, '/')
                AND json_type(json_extract(r.record, '$.size')) = 'INTEGER'
                AND {size} REGEXP '^[0-9]{{1,15}}$', false))
        ELSE false END"""  # noqa: S608


DIALECTS = {
    "sqlite": Dialect(
        text="text",
        raw=lambda value: f"CAST({value} AS BLOB)",  # bytes that are no text fail in the driver
        records=_sqlite_records,
        storage="CAST(json_extract(r.value, '$.upload_storage') AS BLOB)",
        size="json_extract(r.value, '$.size')",
        is_sound=_sqlite_is_sound,
    ),
    "postgresql": Dialect(
        text="text",
        raw=lambda value: f"{value}::text",
        records=_postgresql_records,
        storage="r.value->>'upload_storage'",
        size="(r.value->>'size')::numeric",
        is_sound=_postgresql_is_sound,
    ),
    "mariadb": Dialect(
        text="char",
        raw=lambda value: value,
        records=_mariadb_records,
        storage="json_value(r.record, '$.upload_storage')",
        size="CAST(json_value(r.record, '$.size') AS unsigned)",
        is_sound=_mariadb_is_sound,
    ),
}
DIALECTS["mysql"] = DIALECTS["mariadb"]
