"""The bodies of the triggers on MariaDB and MySQL.

Entries are written one row at a time: INSERT … SELECT would lock the rows that it reads, and the
gaps next to them. No error reaches a user's statement, except a deadlock, which has ended the
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.dialects.cascades import Ancestor
from sqlalchemy_file.ledger.tables import KEPT, MISSED_NOTE, NEVER, STATE, TX_VARIABLE
from sqlalchemy_file.ledger.triggers import LONGEST_PATH, LONGEST_VALUE, Place, note

_TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_PASSED_OVER = "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;"


def quoted(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("`", "``") + "`"


def qualified(where: Place) -> str:
    """Quote a name with its schema."""
    return f"{quoted(where.schema)}.{quoted(where.table)}"


def row_body(kind: str, ledger: Place, files: FileColumns) -> str:
    """Return a trigger's body: plain records are read without a query, which costs a tenth.

    What a row goes on naming in any column is not kept: it may have gone to one that deletes.
    """
    rows = ("OLD", "NEW") if kind == "update" else ("OLD",)
    names, count = files.noted, len(files.columns)
    # By way of variables: where a column is gone, only its own SET fails, and is passed over.
    variables = [f"{row}_{index}" for row in rows for index in range(len(names))]
    was = [each for each in variables if each.startswith("OLD")]
    now = [each for each in variables if each.startswith("NEW")]
    parts = [(was[:count], now[:count], False), (was[count:], now, True)]
    steps = [
        *map(_read_plain, variables),
        "IF plain THEN",
        *(
            _note_plain(ledger, each, others, is_kept=is_kept)
            for some, others, is_kept in parts
            for each in some
        ),
        "ELSE",
        *(
            _note_each(ledger, _released(some, others), is_kept=is_kept)
            for some, others, is_kept in parts
            if some
        ),
        "END IF;",
    ]
    if now:
        pairs = zip(was, now, strict=True)
        same = " AND ".join(f"BINARY {old} <=> BINARY {new}" for old, new in pairs)
        steps = [f"IF NOT ({same}) THEN", *steps, "END IF;"]
    declared = [*variables, *(f"{each}_{part}" for each in variables for part in _PARTS)]
    return "\n".join(
        [
            f"BEGIN\n{note(ledger, files.columns, files.kept)}",
            f"DECLARE {', '.join([*declared, 'parts', 'n_path', 'n_storage'])} {_TEXT};",
            "DECLARE plain BOOLEAN DEFAULT TRUE;",
            _PASSED_OVER,
            *(
                f"SET {row}_{index} = {row}.{quoted(name)};"
                for row in rows
                for index, name in enumerate(names)
            ),
            *steps,
            "END",
        ]
    )


def cascade_body(ledger: Place, ancestor: Ancestor, named: dict[Place, FileColumns]) -> str:
    """Return a trigger's body that reads the files of all rows which a DELETE will take along."""
    blocks = [
        _note_each(
            ledger,
            _notes_in("v.value", f"({ancestor.rows_of(place, name, qualified, quoted)}) AS v, "),
            is_kept=name in named[place].kept,
        )
        for place in sorted(ancestor.targets, key=str)
        for name in named[place].noted
    ]
    return "\n".join(
        [
            f"BEGIN\n{note(ledger, ())}",
            f"DECLARE n_path, n_storage {_TEXT};",
            _PASSED_OVER,
            *blocks,
            "END",
        ]
    )


_PARTS = ("path", "storage")


def _read_plain(value: str) -> str:
    """Return what reads path and storage of a record that has one object, without escapes.

    Both keep their opening quotation mark, until they are compared.
    """
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


def _note_plain(ledger: Place, value: str, now: Sequence[str], *, is_kept: bool) -> str:
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


def _note_each(ledger: Place, released: str, *, is_kept: bool) -> str:
    """Return a block that records the results of a query, one by one."""
    return "\n".join(
        [
            "BEGIN",
            "DECLARE ended BOOLEAN DEFAULT FALSE;",
            f"DECLARE released CURSOR FOR {released};",
            "DECLARE CONTINUE HANDLER FOR NOT FOUND SET ended = TRUE;",
            # A table that is gone has no rows to lose.
            "DECLARE EXIT HANDLER FOR 1146 BEGIN END;",
            f"DECLARE EXIT HANDLER FOR SQLEXCEPTION {_tell_missed(ledger, is_kept)};",
            "OPEN released;",
            "each_note: LOOP",
            "FETCH released INTO n_path, n_storage;",
            "IF ended THEN LEAVE each_note; END IF;",
            _write(ledger, is_kept),
            "END LOOP;",
            "CLOSE released;",
            "END;",
        ]
    )


def _write(ledger: Place, is_kept: bool) -> str:
    """Return a block that writes a note, or tells that it could not."""
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
    """Return a query for what some values name and others do not; it sorts what it finds once."""
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
    """Return a query for paths and storages in a value, or in those of ``rows``, whatever it is."""
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
    # Longer texts would make of each temporary table one on disk.
    return f"CAST(JSON_UNQUOTE({json}) AS CHAR({length}) CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"
