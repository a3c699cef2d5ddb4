"""Raw statements that may end a transaction without an event.

Their outcome is not known to SQLAlchemy: a COMMIT of an aborted transaction rolls back, a ROLLBACK
TO undoes a part, a procedure may do both and continue.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection

_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z)|/\*(?![!M]).*?\*/)*", re.DOTALL)
_BLANK_NESTED = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z))*", re.DOTALL)
_FIRST_WORD = re.compile(r"[A-Za-z]+")
_ANOTHER = re.compile(r";\s*[^\s;]")
_UNDOES_A_PART = re.compile(r"\bROLLBACK\b[^;]*\bTO\b", re.IGNORECASE | re.DOTALL)
_SETS_SAVEPOINTS = re.compile(r"\bSAVEPOINT\b", re.IGNORECASE)

_ENDING = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START", "PREPARE", "RELEASE"})
_OPAQUE = {
    "postgresql": _ENDING - {"RELEASE"} | {"CALL", "DO"},
    "sqlite": _ENDING,
}
_PLAIN_ON_MYSQL = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "SHOW", "EXPLAIN"}
    | {"DESCRIBE", "DESC", "DO", "USE", "SAVEPOINT", "RELEASE", "HANDLER", "LOAD"}
)


def is_opaque(connection: Connection, sql: str) -> bool:
    """Return True if the transaction may be another one, or none, after a statement."""
    name = connection.dialect.name
    word = _first_word(name, sql)
    if name in ("mysql", "mariadb", "oracle"):
        is_plain = word in _PLAIN_ON_MYSQL
    else:
        is_plain = word != "" and word not in _OPAQUE.get(name, _ENDING)
    return not is_plain or is_several(sql)


def is_several(sql: str) -> bool:
    """Return True if a string may hold more than one statement."""
    return ";" in sql and _ANOTHER.search(sql) is not None


def undoes_a_part(connection: Connection, sql: str) -> bool:
    """Return True if an opaque statement may roll back to a savepoint, or lose one to our token."""
    if _UNDOES_A_PART.search(sql):
        return True
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    return is_mysql and _SETS_SAVEPOINTS.search(sql) is not None


def _first_word(dialect: str, sql: str) -> str:
    """Return a statement's first word behind comments; MySQL executes what ``/*!`` begins."""
    start = 0 if sql[:1].isalpha() else _start(dialect, sql)
    found = _FIRST_WORD.match(sql, start)
    return found.group().upper() if found else "SELECT" if sql[start : start + 1] == "(" else ""


def _start(dialect: str, sql: str) -> int:
    if dialect != "postgresql":
        return _BLANK.match(sql).end()  # type: ignore[union-attr]  # it matches nothing, too
    at = 0
    while True:
        at = _BLANK_NESTED.match(sql, at).end()  # type: ignore[union-attr]
        if not sql.startswith("/*", at):
            return at
        at = _end_of_comment(sql, at)


def _end_of_comment(sql: str, at: int) -> int:
    """Return where a comment ends, which on PostgreSQL may hold others."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[at:]):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return at + mark.end()
    return len(sql)
