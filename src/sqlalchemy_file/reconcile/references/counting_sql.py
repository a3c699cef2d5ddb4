"""SQL that counts the files of a column if all its values look as this package writes them.

Otherwise it says so, or fails, and the values are read one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_Sql = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database reads a value: ``records`` is a row source, of which the others are."""

    raw: _Sql
    """The value, as `as_text` takes it."""
    text: str
    """The type of SQL that is compared with the text ``null``."""
    records: _Sql
    storage: str
    size: str
    is_sound: _Sql

    def count(self, table: str, value: str) -> str:
        """Return the query for storage, number of files, bytes, and number of odd records."""
        return (
            f"SELECT {self.storage}, count(*), sum({self.size}), "  # noqa: S608
            f"sum(CASE WHEN {self.is_sound(value)} THEN 0 ELSE 1 END) "
            f"FROM {table} AS t, {self.records(value)} "
            f"WHERE CAST({value} AS {self.text}) <> 'null' GROUP BY 1"
        )

    def values(self, table: str, value: str, keys: str) -> str:
        """Return the query for value and primary key of all rows."""
        return (
            f"SELECT {self.raw(value)}{keys} FROM {table} AS t "  # noqa: S608
            f"WHERE CAST({value} AS {self.text}) <> 'null'"
        )


def _sqlite_records(value: str) -> str:
    # What is no JSON becomes a number, which is odd.
    return (
        f"json_each(CASE WHEN typeof({value}) <> 'text' OR NOT json_valid({value}) THEN '[0]' "
        f"WHEN json_type({value}) = 'array' THEN {value} ELSE json_array(json({value})) END) AS r"
    )


def _sqlite_is_sound(value: str) -> str:
    storage, path = "json_extract(r.value, '$.upload_storage')", "json_extract(r.value, '$.path')"
    hexadecimal = "[0-9a-fA-F]"
    high = f"\\u[dD][89abAB]{hexadecimal}{hexadecimal}"
    # Without regular expressions, half of a character is seen beside what is no escape.
    return f"""CASE WHEN r.type <> 'object' THEN 0 ELSE coalesce(
        json_type(r.value, '$.upload_storage') = 'text' AND json_type(r.value, '$.path') = 'text'
        AND substr({path}, 1, length({storage}) + 1) = {storage} || '/'
        AND {path} NOT GLOB '*[^ -~]*'
        AND instr(replace(replace({path}, '\\', '//'), '/.', '//'), '//') = 0
        AND json_type(r.value, '$.size') = 'integer'
        AND json_extract(r.value, '$.size') BETWEEN 0 AND 1e15
        AND (instr({value}, '\\u') = 0 OR instr({value}, '\\u0000') = 0
            AND {value} NOT GLOB '*{high}[^\\]*'
            AND {value} NOT GLOB '*[^0-9a-fA-F]\\u[dD][c-fC-F]*'), 0) END"""


def _postgresql_records(value: str) -> str:
    return f"""json_array_elements(CASE json_typeof({value}::json)
        WHEN 'array' THEN {value}::json ELSE json_build_array({value}::json) END) AS r,
        json_to_record(r.value) AS x (upload_storage text, path text, size text)"""


def _postgresql_is_sound(value: str) -> str:
    return """coalesce(starts_with(x.path, x.upload_storage || '/') AND x.path ~ '^[ -~]+$'
        AND x.path !~ '//|/[.]|[\\\\]' AND x.size ~ '^[0-9]{1,15}$', false)"""


def _mariadb_records(value: str) -> str:
    return f"""json_table(CASE json_type({value}) WHEN 'ARRAY' THEN {value}
        ELSE concat('[', {value}, ']') END, '$[*]' COLUMNS (
        upload_storage varchar(255) PATH '$.upload_storage', path varchar(2048) PATH '$.path',
        size varchar(255) PATH '$.size')) AS x"""


def _mariadb_is_sound(value: str) -> str:
    pair = "u[dD][89abAB][0-9a-fA-F]{2}(?![\\\\\\\\]u[dD][c-fC-F])"
    low = "(?<![\\\\\\\\]u[dD][89abAB][0-9a-fA-F]{2})[\\\\\\\\]u[dD][c-fC-F]"
    return f"""coalesce(left(x.path, char_length(x.upload_storage) + 1)
            = concat(x.upload_storage, '/')
        AND x.path REGEXP '^[ -~]+$' AND x.path NOT REGEXP '//|/[.]|[\\\\\\\\]'
        AND x.size REGEXP '^[0-9]{{1,15}}$'
        AND (locate('\\\\u', {value}) = 0
            OR {value} NOT REGEXP '[\\\\\\\\]u0000|[\\\\\\\\]{pair}|{low}'), false)"""


DIALECTS = {
    "sqlite": Dialect(
        raw=lambda value: f"CAST({value} AS BLOB)",  # bytes that are no text fail in the driver
        text="text",
        records=_sqlite_records,
        storage="CAST(json_extract(r.value, '$.upload_storage') AS BLOB)",
        size="json_extract(r.value, '$.size')",
        is_sound=_sqlite_is_sound,
    ),
    "postgresql": Dialect(
        raw=lambda value: f"{value}::text",
        text="text",
        records=_postgresql_records,
        storage="x.upload_storage",
        size="x.size::numeric",
        is_sound=_postgresql_is_sound,
    ),
    "mariadb": Dialect(
        raw=lambda value: value,
        text="char",
        records=_mariadb_records,
        storage="x.upload_storage",
        size="CAST(x.size AS unsigned)",
        is_sound=_mariadb_is_sound,
    ),
}
DIALECTS["mysql"] = DIALECTS["mariadb"]
