"""Statements that may end a transaction without an event: raw SQL, and those that fail.

The outcome of raw SQL is not known to SQLAlchemy: a COMMIT of an aborted transaction rolls back, a
ROLLBACK TO undoes a part, a procedure may do both and continue.

No list of errors after which a database has rolled back is complete. So the database is asked after
each of them; if it cannot be asked, the outcome is unknown, and nothing is deleted.
"""

from __future__ import annotations

import re
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.engine import ExceptionContext

from sqlalchemy_file.tracking.endings.connections import borrowers, known_unit
from sqlalchemy_file.tracking.unit.standing import (
    Phase,
    Standing,
    asked,
    asked_if_stale,
    driver_autocommit,
    is_autocommit,
    is_right_after_errors,
    refuses_commit,
    set_token,
    standing,
)
from sqlalchemy_file.tracking.unit.units import Unit

_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z)|/\*(?![!M]).*?\*/)*", re.DOTALL)
_IN_COMMENT = r"(?!/\*|\*/)."
_COMMENT = rf"/\*(?:{_IN_COMMENT}|/\*(?:{_IN_COMMENT}|/\*(?:{_IN_COMMENT})*\*/)*\*/)*\*/"
_BLANK_NESTED = re.compile(rf"(?:\s+|--[^\n]*(?:\n|\Z)|{_COMMENT})*", re.DOTALL)
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


def may_end(conn: Connection, unit: Unit, sql: str, *, is_ddl: bool) -> bool:
    """Follow what has ended since the last statement, and mark what this one may end.

    Returns whether it may end the transaction, so that `after_statement` has to look.
    """
    unit.observe(asked_if_stale(conn))
    if unit.has_begun and not is_ddl and is_opaque(conn, sql):
        unit.token = None if undoes_a_part(conn, sql) else set_token(conn)
        if unit.token is None:
            unit.lose_track()
    return unit.token is not None


def after_statement(conn: Connection, unit: Unit) -> None:
    token, unit.token = unit.token, None
    if token is not None and not token.is_there(conn):
        for each in borrowers(unit):
            each.lose_track()


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
    """Return a statement's first word behind comments; MySQL executes what ``/*!`` begins.

    On PostgreSQL comments may hold others. A statement behind deeper ones has no first word.
    """
    blank = _BLANK_NESTED if dialect == "postgresql" else _BLANK
    start = 0 if sql[:1].isalpha() else blank.match(sql).end()  # type: ignore[union-attr]
    found = _FIRST_WORD.match(sql, start)
    return found.group().upper() if found else "SELECT" if sql[start : start + 1] == "(" else ""


_COMMITS = ("do_commit", "do_commit_twophase")
_ROLLBACKS = ("do_rollback", "do_rollback_twophase")
_OF_SAVEPOINTS = ("do_release_savepoint", "do_rollback_to_savepoint")


def follow_error(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is None or (unit := known_unit(connection)) is None:
        return
    verb, unit.failed_verb = unit.failed_verb, None
    if verb in _COMMITS:
        _commit_failed(unit, connection, context)
    elif verb in _ROLLBACKS:
        _rollback_failed(unit, context)
    elif unit.is_prepared:
        unit.lose_track()
    else:
        _statement_failed(unit, connection, context)
    if context.is_disconnect:
        unit.settle()  # closing the session may now raise before it comes to its end


def _commit_failed(unit: Unit, connection: Connection, context: ExceptionContext) -> None:
    if unit.is_prepared or context.is_disconnect:
        unit.lose_track()
    elif _now(connection, context) in (Standing.OPEN, Standing.ABORTED):
        # SQLAlchemy takes it for ended, and sends nothing more.
        unit.phase = Phase.ROLLING_BACK
        with suppress(connection.dialect.loaded_dbapi.Error):
            connection.dialect.do_rollback(connection.connection)
        if unit.is_unended:
            unit.lose_track()
    elif _is_answer(context) and refuses_commit(connection, context.original_exception):
        unit.is_unended = False
        unit.roll_back()
    else:
        unit.lose_track()


def _rollback_failed(unit: Unit, context: ExceptionContext) -> None:
    if context.is_disconnect and not unit.is_prepared:
        unit.is_unended = False
        unit.end(is_lost=True)
    else:
        unit.lose_track()


def _statement_failed(unit: Unit, connection: Connection, context: ExceptionContext) -> None:
    now = _now(connection, context) if unit.is_at_stake else standing(connection)
    statement = getattr(context.execution_context, "invoked_statement", None)
    if unit.failed(statement, is_undone=_is_undone(connection, context, now)):
        _has_run(unit, connection, context, now)
    if unit.has_begun and not context.is_disconnect:
        _follow(unit, connection, context, now)


def _has_run(unit: Unit, connection: Connection, context: ExceptionContext, now: Standing) -> None:
    is_final = is_autocommit(connection)
    may_be_stale = now is Standing.UNKNOWN or (context.is_disconnect and now is not Standing.OPEN)
    by_driver = driver_autocommit(connection) if may_be_stale else None
    if by_driver is not None:
        now, is_final = Standing.UNKNOWN, is_final or by_driver
    unit.has_run(now, is_autocommit=is_final)


def _follow(unit: Unit, connection: Connection, context: ExceptionContext, now: Standing) -> None:
    sql = context.statement or ""
    if unit.token is not None:
        token, unit.token = unit.token, None
        if not token.is_there(connection, is_single=not is_several(sql)):
            unit.lose_track()
    elif now is Standing.CLOSED:
        # A COMMIT, or MySQL's DDL, may have come through before the error.
        is_rollback = _is_answer(context) and not is_opaque(connection, sql)
        unit.roll_back() if is_rollback else unit.lose_track()
    elif _is_answer(context) and (now is Standing.UNKNOWN or _misses_savepoint(unit, context, now)):
        unit.lose_track()


def _now(connection: Connection, context: ExceptionContext) -> Standing:
    """Return the state of the transaction, if known."""
    if context.is_disconnect:
        return Standing.UNKNOWN
    if is_right_after_errors(connection.dialect):
        return standing(connection)
    # What is not an answer may have left the driver in the middle of one.
    return asked(connection) if _is_answer(context) else Standing.UNKNOWN


def _is_undone(connection: Connection, context: ExceptionContext, now: Standing) -> bool:
    """Return True if a statement that failed has done nothing, or nothing that can last."""
    if now is Standing.ABORTED:
        return True
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql and now is Standing.OPEN and is_right_after_errors(connection.dialect):
        return False  # the error is the client's own; the statement may have been carried out
    return _is_answer(context)


def _misses_savepoint(unit: Unit, context: ExceptionContext, now: Standing) -> bool:
    """Return True if a savepoint is gone, and with it the transaction in which it was set."""
    if not unit.verbs or unit.verbs[-1] not in _OF_SAVEPOINTS or now is Standing.ABORTED:
        return False
    is_sqlite = context.dialect.name == "sqlite"
    return not is_sqlite or "no such savepoint" in str(context.original_exception)


def _is_answer(context: ExceptionContext) -> bool:
    """Tell an answer of the database from a cancellation, a timeout or a fault of the driver."""
    is_error = isinstance(context.original_exception, context.dialect.loaded_dbapi.Error)
    return is_error and not context.is_disconnect
