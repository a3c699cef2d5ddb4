"""The triggers on MariaDB and MySQL, which fire none of a child's when its parent is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.cascades import Ancestor, ancestors, cascades_in
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.triggers import (
    LONGEST_PATH,
    PREFIX,
    Found,
    Lookup,
    Place,
    Trigger,
    note,
    trigger_name,
)

_NOW = "CAST(unix_timestamp(sysdate(3)) * 1000 AS signed)"

# A column or table that is gone, rights that the definer lost, text that is no text.
_HANDLER = "DECLARE CONTINUE HANDLER FOR 1054, 1142, 1143, 1146, 1366, 1406 BEGIN END;"
_TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


def place(connection: Connection, table: str, schema: str | None) -> Place | None:
    """Return where a table lies, or None if there is none of that name."""
    query = text(
        "SELECT table_schema FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
        "AND table_schema = coalesce(:schema, database()) AND table_name = :name"
    )
    found = connection.execute(query, {"schema": schema, "name": table}).scalar()
    return Place(str(found), table) if found is not None else None


def columns(connection: Connection, where: Place) -> set[str]:
    """Return the names of a table's columns."""
    query = text(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = :schema AND table_name = :name"
    )
    parameters = {"schema": where.schema, "name": where.table}
    return set(connection.execute(query, parameters).scalars())


def wanted(
    connection: Connection, ledger: Place, feeds: Sequence[tuple[Place, FileColumns]]
) -> Iterator[Trigger]:
    """Yield the triggers that these tables need, and those of the ancestors they cascade from."""
    feeds = [feed for feed in feeds if feed[1].columns]
    for where, files in feeds:
        for kind in ("update", "delete"):
            body = _body(kind, ledger, files.columns)
            yield _trigger(where, kind, f"AFTER {kind.upper()}", body)
    named = {where: files.columns for where, files in feeds}
    for ancestor in ancestors(cascades_in(connection), named):
        yield _trigger(
            ancestor.place, "cascade", "BEFORE DELETE", _cascade_body(ledger, ancestor, named)
        )


def found(connection: Connection) -> Iterator[Found]:
    """Yield the ledger's triggers in all schemas that the connection may see."""
    gone = _missing_definers(connection)
    for row in connection.execute(_TRIGGERS).all():
        where = Place(row.schema_name, row.table_name)
        drop = (f"DROP TRIGGER IF EXISTS {quoted(where.schema)}.{quoted(row.name)}",)
        fault = f"its definer {row.definer} is gone" if row.definer in gone else None
        yield Found(where, row.name, drop, row.body, fault)


def lookup(connection: Connection, ledger: Place, where: Place, column: str) -> Lookup | None:
    """Return None: an index would need a generated column, which users would meet everywhere."""
    return None


def leftovers(connection: Connection, ledger: Place) -> Iterator[str]:
    """Yield nothing: triggers go with their table."""
    yield from ()


def quoted(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("`", "``") + "`"


def qualified(where: Place) -> str:
    """Quote a name with its schema."""
    return f"{quoted(where.schema)}.{quoted(where.table)}"


def _trigger(where: Place, kind: str, moment: str, body: str) -> Trigger:
    name = trigger_name(kind, where, body)
    create = (
        f"CREATE TRIGGER {quoted(where.schema)}.{quoted(name)} {moment} "
        f"ON {qualified(where)} FOR EACH ROW\n{body}"
    )
    return Trigger(where, kind, name, (create,))


def _body(kind: str, ledger: Place, names: Sequence[str]) -> str:
    """Return a trigger's body: plain records are read without a query, which costs a tenth."""
    rows = ("OLD", "NEW") if kind == "update" else ("OLD",)
    # By way of variables: where a column is gone, only its own SET fails, and is passed over.
    variables = [f"{row}_{index}" for row in rows for index in range(len(names))]
    sets = [
        f"SET {row}_{index} = {row}.{quoted(name)};"
        for row in rows
        for index, name in enumerate(names)
    ]
    was = [each for each in variables if each.startswith("OLD")]
    now = [each for each in variables if each.startswith("NEW")]
    insert = _insert(ledger, " UNION ".join(map(_paths_of, was)))
    if now:
        kept = " UNION ".join(map(_paths_of, now))
        insert = f"{insert} WHERE r.p NOT IN (SELECT n.p FROM ({kept}) AS n)"
    steps = [
        *map(_read_plain, variables),
        "IF plain THEN",
        *(_insert_plain(ledger, each, now) for each in was),
        f"ELSE {insert};",
        "END IF;",
    ]
    if now:
        pairs = zip(was, now, strict=True)
        same = " AND ".join(f"BINARY {old} <=> BINARY {new}" for old, new in pairs)
        steps = [f"IF NOT ({same}) THEN", *steps, "END IF;"]
    declared = ", ".join([*variables, *(f"{each}_path" for each in variables), "parts"])
    return "\n".join(
        [
            f"BEGIN\n{note(ledger, names)}",
            f"DECLARE {declared} {_TEXT};",
            "DECLARE plain BOOLEAN DEFAULT TRUE;",
            _HANDLER,
            *sets,
            *steps,
            "END",
        ]
    )


def _read_plain(value: str) -> str:
    """Return what sets a variable to the path of a record that has one object, without escapes."""
    path = f"{value}_path"
    return (
        f"IF JSON_VALID({value}) THEN\n"
        f"SET {path} = JSON_EXTRACT({value}, '$.path');\n"
        f"SET parts = JSON_EXTRACT({value}, '$.files'); END IF;\n"
        f"IF LEFT({path}, 1) = '\"' AND INSTR({path}, CHAR(92)) = 0 "
        f"AND LENGTH({path}) <= {LONGEST_PATH + 2} "
        f"AND parts = CONCAT('[', {path}, ']') THEN\n"
        f"SET {path} = SUBSTR({path}, 2, CHAR_LENGTH({path}) - 2);\n"
        f"ELSEIF {value} IS NOT NULL THEN SET plain = FALSE; END IF;"
    )


def _insert_plain(ledger: Place, value: str, now: Sequence[str]) -> str:
    path = f"{value}_path"
    kept = ", ".join(f"{each}_path" for each in now)
    released = f"{path} IS NOT NULL"
    if kept:
        released += f" AND NOT COALESCE({path} IN ({kept}), FALSE)"
    return (
        f"IF {released} THEN INSERT INTO {qualified(ledger)} (path, at, due_at) "
        f"VALUES ({path}, {_NOW}, {_NOW}); END IF;"
    )


def _insert(ledger: Place, released: str) -> str:
    return (
        f"INSERT INTO {qualified(ledger)} (path, at, due_at) "
        f"SELECT r.p, {_NOW}, {_NOW} FROM ({released}) AS r"
    )


def _paths_of(value: str, rows: str = "") -> str:
    """Return a query for the paths in a value, or in those of ``rows``, whatever it is."""
    records = f"IF(JSON_TYPE({value}) = 'ARRAY', {value}, CONCAT('[', {value}, ']'))"
    paths = (
        f"IF(JSON_VALID({value}), "
        f"IFNULL(JSON_EXTRACT({records}, '$[*].path', '$[*].files[*]'), '[]'), '[]')"
    )
    # Longer texts would make of each temporary table one on disk.
    return (
        f"SELECT DISTINCT CAST(JSON_UNQUOTE(j.x) AS CHAR({LONGEST_PATH}) CHARACTER SET utf8mb4) "
        f"COLLATE utf8mb4_bin AS p FROM {rows}"
        f"JSON_TABLE({paths}, '$[*]' COLUMNS (x JSON PATH '$')) AS j "
        f"WHERE JSON_TYPE(j.x) = 'STRING' AND LENGTH(JSON_UNQUOTE(j.x)) <= {LONGEST_PATH} "
        "AND INSTR(JSON_UNQUOTE(j.x), CHAR(0)) = 0"
    )


def _cascade_body(ledger: Place, ancestor: Ancestor, named: dict[Place, tuple[str, ...]]) -> str:
    """Return a trigger's body that reads the files of all rows which a DELETE will take along."""
    inserts = [
        _insert(
            ledger,
            _paths_of("v.value", f"({ancestor.rows_of(place, name, qualified, quoted)}) AS v, "),
        )
        for place in sorted(ancestor.targets, key=str)
        for name in named[place]
    ]
    return (
        f"BEGIN\n{note(ledger, ())}\n{_HANDLER}\n"
        + "".join(f"{each};\n" for each in inserts)
        + "END"
    )


def _missing_definers(connection: Connection) -> set[str]:
    """Return the accounts that triggers run as and that are gone, where one may look."""
    definers = set(connection.execute(_DEFINERS).scalars())
    try:
        accounts = set(connection.execute(_ACCOUNTS).scalars()) if definers else set()
    except DBAPIError:
        return set()
    return definers - accounts


_TRIGGERS: Any = text(f"""
SELECT trigger_schema AS schema_name, event_object_table AS table_name, trigger_name AS name,
       action_statement AS body, definer
FROM information_schema.triggers WHERE left(trigger_name, {len(PREFIX)}) = '{PREFIX}'
ORDER BY trigger_schema, event_object_table, trigger_name""")

_DEFINERS: Any = text(f"""
SELECT DISTINCT definer FROM information_schema.triggers
WHERE left(trigger_name, {len(PREFIX)}) = '{PREFIX}' AND definer <> current_user()""")

_ACCOUNTS: Any = text("SELECT concat(user, '@', host) FROM mysql.user")
