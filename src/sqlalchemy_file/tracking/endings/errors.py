"""The state of a transaction after an exception.

No list of errors after which a database has rolled back is complete. So the database is asked after
each of them; if it cannot be asked, the outcome is unknown, and nothing is deleted.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.engine import ExceptionContext

from sqlalchemy_file.tracking.endings.raw_sql import is_opaque, is_several
from sqlalchemy_file.tracking.unit.standing import (
    Standing,
    asked,
    driver_autocommit,
    is_autocommit,
    is_right_after_errors,
    refuses_commit,
    standing,
)
from sqlalchemy_file.tracking.unit.units import Phase, Unit

_COMMITS = ("do_commit", "do_commit_twophase")
_ROLLBACKS = ("do_rollback", "do_rollback_twophase")
_OF_SAVEPOINTS = ("do_release_savepoint", "do_rollback_to_savepoint")


def follow_error(unit: Unit, connection: Connection, context: ExceptionContext) -> None:
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
