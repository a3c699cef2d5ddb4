"""Triggers on MariaDB and MySQL, which fire no triggers of a child if its parent is deleted.

Entries are written one row at a time: INSERT … SELECT would lock the rows that it reads, and the
gaps next to them. No error reaches a user's statement, except a deadlock, which has ended the
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.columns import (
    LONGEST_PATH,
    LONGEST_VALUE,
    PREFIX,
    FileColumns,
    Found,
    Place,
    Trigger,
    note,
    trigger_name,
)
from sqlalchemy_file.ledger.connections import is_unreadable
from sqlalchemy_file.ledger.dialects import Database, Feed
from sqlalchemy_file.ledger.dialects.cascades import (
    Ancestor,
    ancestors,
    cascades_in,
    qualified,
    quoted,
)
from sqlalchemy_file.ledger.tables import KEPT, MISSED_NOTE, NEVER, STATE, TX_VARIABLE


class MariaDB(Database):
    """MariaDB and MySQL. Paths have no index: that would need a column that users see."""

    def place(self, connection: Connection, table: str, schema: str | None) -> Place | None:
        return next(_named(connection, table, schema, "BASE TABLE"), None)

    def is_view(self, connection: Connection, table: str, schema: str | None) -> bool:
        return any(_named(connection, table, schema, "VIEW"))

    def columns(self, connection: Connection, where: Place) -> dict[str, bool]:
        query = text(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = :schema AND table_name = :name AND BINARY table_name = :name"
        )
        parameters = {"schema": where.schema, "name": where.table}
        return {self.folded(name): True for name in connection.scalars(query, parameters)}

    def needed(
        self, connection: Connection, ledger: Place, feeds: Sequence[Feed]
    ) -> Iterator[Trigger]:
        """Yield the triggers of these tables, and of tables from which deletes cascade to them."""
        tables = {where: files for where, files in feeds if files.noted}
        for where, files in tables.items():
            for kind in ("update", "delete"):
                body = row_body(kind, ledger, files)
                yield _trigger(where, kind, f"AFTER {kind.upper()}", body)
        for ancestor in ancestors(cascades_in(connection), tables):
            body = cascade_body(ledger, ancestor, tables)
            yield _trigger(ancestor.place, "cascade", "BEFORE DELETE", body)

    def found(self, connection: Connection) -> Iterator[Found]:
        rows = connection.execute(_TRIGGERS).all()
        gone = _missing_accounts(connection, {row.definer for row in rows if row.is_others})
        for row in rows:
            where = Place(row.schema_name, row.table_name)
            drop = (f"DROP TRIGGER IF EXISTS {quoted(where.schema)}.{quoted(row.name)}",)
            fault = f"its definer {row.definer} is gone" if row.definer in gone else None
            yield Found(where, row.name, drop, row.source or "", fault)

    @contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        """Create triggers in the SQL mode that they are written for: a trigger keeps its mode.

        Without strict mode an entry could be cut, and Oracle's mode has another syntax.
        """
        mode = connection.execute(text("SELECT @@sql_mode")).scalar()
        connection.execute(text("SET sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"))
        try:
            yield
        finally:
            if not connection.closed and not connection.invalidated:
                connection.execute(text("SET sql_mode = :mode"), {"mode": mode})


def _named(connection: Connection, table: str, schema: str | None, kind: str) -> Iterator[Place]:
    """Yield the tables of this name. The catalog ignores case; the server may not."""
    found = connection.execute(_TABLES, {"schema": schema, "name": table, "kind": kind}).all()
    for row in found:
        if row.are_folded or (row.name == table and row.schema_name == (schema or row.own_schema)):
            yield Place(row.schema_name, row.name)


def _trigger(where: Place, kind: str, moment: str, body: str) -> Trigger:
    name = trigger_name(kind, where, body)
    create = (
        f"CREATE TRIGGER {quoted(where.schema)}.{quoted(name)} {moment} "
        f"ON {qualified(where)} FOR EACH ROW\n{body}"
    )
    return Trigger(where, kind, name, (create,))


def _missing_accounts(connection: Connection, definers: set[str]) -> set[str]:
    """Return which of these accounts are gone, as far as this one may look."""
    try:
        accounts = set(connection.execute(_ACCOUNTS).scalars()) if definers else set()
    except DBAPIError as error:
        if not is_unreadable(error):
            raise
        return set()
    return definers - accounts


_TABLES: Any = text("""
SELECT table_schema AS schema_name, table_name AS name, database() AS own_schema,
       @@lower_case_table_names <> 0 AS are_folded
FROM information_schema.tables
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
AND (table_type = :kind OR (:kind = 'BASE TABLE' AND table_type = 'SYSTEM VERSIONED'))""")

_TRIGGERS: Any = text(f"""
SELECT trigger_schema AS schema_name, event_object_table AS table_name, trigger_name AS name,
       action_statement AS source, definer, definer <> current_user() AS is_others
FROM information_schema.triggers WHERE left(trigger_name, {len(PREFIX)}) = '{PREFIX}'
ORDER BY trigger_schema, event_object_table, trigger_name""")

_ACCOUNTS: Any = text("SELECT concat(user, '@', host) FROM mysql.user")


_TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_PASSED_OVER = "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;"


def row_body(kind: str, ledger: Place, files: FileColumns) -> str:
    """Return a trigger's body. It reads plain records without a query, in a tenth of the time."""
    rows = ("OLD", "NEW") if kind == "update" else ("OLD",)
    # With variables, only the SET of a column that is gone fails, and is passed over.
    values = {row: {name: f"{row}_{i}" for i, name in enumerate(files.noted)} for row in rows}
    every = [value for row in rows for value in values[row].values()]
    parts_of = [f"{value}_{part}" for value in every for part in _PARTS]
    variables = ", ".join([*every, *parts_of, "parts", "n_path", "n_storage"])
    return "\n".join(
        [
            f"BEGIN\n{note(ledger, files.columns, files.kept)}",
            f"DECLARE {variables} {_TEXT};",
            "DECLARE plain BOOLEAN DEFAULT TRUE;",
            _PASSED_OVER,
            *(
                f"SET {value} = {row}.{quoted(name)};"
                for row in rows
                for name, value in values[row].items()
            ),
            f"IF NOT ({_are_same(values)}) THEN",
            *map(_read_plain, every),
            *_record(ledger, files, values["OLD"], values.get("NEW", {})),
            "END IF;",
            "END",
        ]
    )


def _are_same(values: dict[str, dict[str, str]]) -> str:
    """Return the condition under which nothing has changed, which a DELETE never meets."""
    pairs = zip(values["OLD"].values(), values.get("NEW", {}).values(), strict=False)
    return " AND ".join(f"BINARY {old} <=> BINARY {new}" for old, new in pairs) or "FALSE"


def _record(
    ledger: Place, files: FileColumns, old: dict[str, str], new: dict[str, str]
) -> list[str]:
    """Return SQL that records the paths of plain records one by one, of others by a query."""
    plain, others = [], []
    for release in files.releases:
        was = [old[name] for name in release.columns]
        now = [new[name] for name in release.now if name in new]
        plain += [_note_plain(ledger, each, now, release.is_kept) for each in was]
        others.append(_note_each(ledger, _released(was, now), release.is_kept))
    return ["IF plain THEN", *plain, "ELSE", *others, "END IF;"]


def cascade_body(ledger: Place, ancestor: Ancestor, named: dict[Place, FileColumns]) -> str:
    """Return a trigger's body that reads the files of all rows to which a DELETE cascades."""
    blocks = [
        _note_each(
            ledger,
            _notes_in("v.value", f"({ancestor.rows_of(place, name)}) AS v, "),
            name in named[place].kept,
        )
        for place in sorted(ancestor.targets, key=str)
        for name in named[place].noted
    ]
    declared = f"DECLARE n_path, n_storage {_TEXT};"
    return "\n".join([f"BEGIN\n{note(ledger)}", declared, _PASSED_OVER, *blocks, "END"])


_PARTS = ("path", "storage")


def _read_plain(value: str) -> str:
    """Return SQL that reads path and storage of a record with one object and no escapes."""
    # Both keep their quotation marks until they are compared.
    path, storage = (f"{value}_{part}" for part in _PARTS)
    return (
        f"IF LENGTH({value}) > {LONGEST_VALUE} THEN SET {value} = NULL;\n"
        f"ELSEIF JSON_VALID({value}) THEN\n"
        f"SET {path} = JSON_EXTRACT({value}, '$.path');\n"
        f"SET {storage} = JSON_EXTRACT({value}, '$.upload_storage');\n"
        f"SET parts = JSON_EXTRACT({value}, '$.files'); END IF;\n"
        f"IF LEFT({path}, 1) = '\"' AND INSTR({path}, CHAR(92)) = 0 "
        f"AND LENGTH({path}) <= {LONGEST_PATH + 2} "
        f"AND parts = CONCAT('[', {path}, ']') THEN\n"
        f"SET {storage} = IF(LEFT({path}, CHAR_LENGTH({storage})) = "
        f"CONCAT(LEFT({storage}, CHAR_LENGTH({storage}) - 1), '/'), "
        f"SUBSTR({storage}, 2, CHAR_LENGTH({storage}) - 2), NULL);\n"
        f"SET {path} = SUBSTR({path}, 2, CHAR_LENGTH({path}) - 2);\n"
        f"ELSEIF {value} IS NOT NULL THEN SET plain = FALSE; END IF;"
    )


def _note_plain(ledger: Place, value: str, now: Sequence[str], is_kept: bool) -> str:
    path, storage = (f"{value}_{part}" for part in _PARTS)
    released = " AND ".join(
        [
            f"{path} IS NOT NULL",
            *(f"NOT ({path} <=> {each}_path AND {storage} <=> {each}_storage)" for each in now),
        ]
    )
    return (
        f"IF {released} THEN\n"
        f"SET n_path = {path}, n_storage = {storage};\n{_write(ledger, is_kept)}\nEND IF;"
    )


def _note_each(ledger: Place, released: str, is_kept: bool) -> str:
    """Return a block that records the results of a query, one by one."""
    # Error 1146: a table that is gone has no rows to lose.
    return f"""BEGIN
DECLARE ended BOOLEAN DEFAULT FALSE;
DECLARE released CURSOR FOR {released};
DECLARE CONTINUE HANDLER FOR NOT FOUND SET ended = TRUE;
DECLARE EXIT HANDLER FOR 1146 BEGIN END;
DECLARE EXIT HANDLER FOR SQLEXCEPTION {_tell_missed(ledger, is_kept)};
OPEN released;
each_note: LOOP
FETCH released INTO n_path, n_storage;
IF ended THEN LEAVE each_note; END IF;
{_write(ledger, is_kept)}
END LOOP;
CLOSE released;
END;"""


def _write(ledger: Place, is_kept: bool) -> str:
    """Return a block that writes an entry, or records that it could not."""
    columns, values = (", lease, due_at", f", '{KEPT}', {NEVER}") if is_kept else ("", "")
    return (
        f"BEGIN\nDECLARE EXIT HANDLER FOR SQLEXCEPTION {_tell_missed(ledger, is_kept)};\n"
        f"INSERT INTO {qualified(ledger)} (path, storage, tx{columns}) "
        f"VALUES (n_path, n_storage, {TX_VARIABLE}{values});\nEND;"
    )


def _tell_missed(ledger: Place, is_kept: bool) -> str:
    state = qualified(Place(ledger.schema, STATE))
    kept = f", 'lease', '{KEPT}'" if is_kept else ""
    return (
        f"BEGIN\n{_PASSED_OVER}\nINSERT INTO {state} (name, value) "
        f"VALUES (CONCAT('{MISSED_NOTE}', uuid_short()), "
        f"JSON_OBJECT('path', n_path, 'storage', n_storage{kept}));\nEND"
    )


def _released(was: Sequence[str], now: Sequence[str]) -> str:
    """Return a query for the paths that old values contain and new ones do not."""
    sources = [(1, each) for each in was] + [(0, each) for each in now]
    notes = " UNION ALL ".join(
        f"SELECT {number} AS was, {each}.path, {each}.storage FROM ({_notes_in(each)}) AS {each}"
        for number, each in sources
    )
    return (
        f"SELECT u.path, u.storage FROM ({notes}) AS u "
        "GROUP BY u.path, u.storage HAVING MIN(u.was) = 1"
    )


def _notes_in(value: str, rows: str = "") -> str:
    """Return a query for the paths and storages in any value, or in the values of ``rows``."""
    records = f"IF(JSON_TYPE({value}) = 'ARRAY', {value}, CONCAT('[', {value}, ']'))"
    readable = f"LENGTH({value}) <= {LONGEST_VALUE} AND JSON_VALID({value})"
    path, storage = _as_text("p.item", LONGEST_PATH), _as_text("r.storage", LONGEST_PATH)
    return (
        f"SELECT DISTINCT {path} AS path, "
        f"IF(LEFT({path}, CHAR_LENGTH({storage}) + 1) = CONCAT({storage}, '/'), {storage}, NULL) "
        f"AS storage FROM {rows}"
        f"JSON_TABLE(IF({readable}, {records}, '[]'), '$[*]' COLUMNS "
        "(record JSON PATH '$', storage JSON PATH '$.upload_storage')) AS r, "
        "JSON_TABLE(IFNULL(JSON_EXTRACT(r.record, '$.path', '$.files[*]'), '[]'), "
        "'$[*]' COLUMNS (item JSON PATH '$')) AS p "
        f"WHERE JSON_TYPE(p.item) = 'STRING' AND LENGTH(JSON_UNQUOTE(p.item)) <= {LONGEST_PATH} "
        "AND INSTR(JSON_UNQUOTE(p.item), CHAR(0)) = 0"
    )


def _as_text(json: str, length: int) -> str:
    # With longer texts, temporary tables would be on disk.
    return f"CAST(JSON_UNQUOTE({json}) AS CHAR({length}) CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"
