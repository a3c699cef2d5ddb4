"""SQLAlchemy's events in, changes and frames out. These are the only listeners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.pool import Pool
from sqlalchemy.sql.elements import ClauseElement

from sqlalchemy_file.exceptions import CommitRefusedError
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.tracking import assigning, flush, statements
from sqlalchemy_file.tracking.clearing import clear
from sqlalchemy_file.tracking.databases import (
    commits_ddl,
    commits_implicitly,
    is_autocommit,
    is_outside_transaction,
    undid_everything,
    was_aborted,
)
from sqlalchemy_file.tracking.guard import refuse_if_late
from sqlalchemy_file.tracking.looking import make_sure
from sqlalchemy_file.tracking.raw_sql import may_end_transaction
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileAttribute, file_attributes
from sqlalchemy_file.tracking.units import (
    Phase,
    Unit,
    known_unit,
    unit_of,
    unit_returning,
)
from sqlalchemy_file.tracking.values import coerced

_connections: WeakKeyDictionary[Session, WeakSet[Connection]] = WeakKeyDictionary()
_sessions: WeakKeyDictionary[Connection, ref[Session]] = WeakKeyDictionary()


def install() -> None:
    """Listen to every mapper, session, engine and pool; once is enough."""
    for target, listeners in _LISTENERS.items():
        for name, (listener, options) in listeners.items():
            if not event.contains(target, name, listener):
                event.listen(target, name, listener, **options)


# --- attributes


def _mapper_configured(mapper: Mapper[Any], class_: type) -> None:
    for attribute in file_attributes(mapper):
        instrumented = getattr(class_, attribute.name)
        event.listen(instrumented, "set", _setter(attribute), retval=True, raw=True, propagate=True)
        if attribute.field.multiple:
            MutableList.associate_with_attribute(instrumented)


def _setter(attribute: FileAttribute) -> Any:
    def assign(state: Any, value: Any, old: Any, initiator: Any) -> Any:
        if isinstance(value, ClauseElement):
            return value  # judged when its statement runs
        return assigning.meant(state, attribute, value, old)

    return assign


# --- sessions


def _before_flush(session: Session, context: Any, instances: Iterable[object] | None) -> None:
    flush.store_pending(session, instances)


def _after_flush(session: Session, context: Any) -> None:
    for connection in _connections.get(session, ()):
        unit = known_unit(connection)
        if unit is not None:
            flush.check_moves(connection, unit)
            unit.forget_flush()


def _orm_execute(state: ORMExecuteState) -> None:
    if state.is_update:
        state.statement = coerced(state.statement)


def _session_begins(session: Session, transaction: SessionTransaction, conn: Connection) -> None:
    _connections.setdefault(session, WeakSet()).add(conn)
    _sessions[conn] = ref(session)


def _session_ends(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is not None:
        return
    for connection in _connections.pop(session, ()):
        _sessions.pop(connection, None)
        unit = known_unit(connection)
        if unit is not None:
            if unit.phase is Phase.COMMITTING:
                unit.commit()
            clear(connection, unit.ledgers, unit.settle())


def _settle_unless_in_session(unit: Unit, connection: Connection) -> None:
    """Delete what is doomed, unless a session will, after it has given its connection back."""
    session = _sessions.get(connection)
    if session is None or session() is None:
        unit.settle()


# --- transactions and savepoints


def _begin(conn: Connection, xid: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    # Files stored by the statement that makes the transaction begin are in its frame already.
    if unit.phase is not Phase.OPEN:
        unit.end()
    unit.autocommit = is_autocommit(conn)
    _settle_unless_in_session(unit, conn)


def _commit(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    unit.confirm_release()
    if unit.frames.top.has_error and was_aborted(conn):
        unit.roll_back()
    else:
        _make_sure(conn, unit)
        _guard(conn, unit, xid)
        unit.was_prepared = unit.phase is Phase.PREPARED
        unit.phase = Phase.COMMITTING


def _make_sure(conn: Connection, unit: Unit) -> None:
    """Look what became of statements that failed in part, while the transaction can tell."""
    if unit.phase is Phase.PREPARED:
        return
    make_sure(conn, unit)


def _prepare(conn: Connection, xid: Any) -> None:
    unit = known_unit(conn)
    if unit is not None:
        _make_sure(conn, unit)
        refuse_if_late(conn, unit.ledgers, unit.frames.began)
        unit.phase = Phase.PREPARED


def _guard(conn: Connection, unit: Unit, xid: Any = None) -> None:
    """Refuse to commit too late; SQLAlchemy takes the transaction for ended, so it is ended."""
    if unit.phase is Phase.PREPARED:
        return
    try:
        refuse_if_late(conn, unit.ledgers, unit.frames.began)
    except CommitRefusedError:
        if xid is None:
            conn.dialect.do_rollback(conn.connection)
        else:
            conn.dialect.do_rollback_twophase(conn, xid, is_prepared=False)
        unit.roll_back()
        _settle_unless_in_session(unit, conn)
        raise


def _roll_back(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    unit.confirm_release()
    if unit.autocommit and is_autocommit(conn):  # SQLite may have begun since
        _make_sure(conn, unit)
        unit.commit()
    else:
        unit.roll_back()
    _settle_unless_in_session(unit, conn)


def _savepoint(conn: Connection, name: str | None) -> None:
    unit_of(conn).savepoint(is_transaction=is_outside_transaction(conn))


def _release_savepoint(conn: Connection, name: str, context: Any) -> None:
    unit = known_unit(conn)
    if unit is not None:
        if unit.ends_with(name):
            _make_sure(conn, unit)
            _guard(conn, unit)
        unit.release(name)


def _roll_back_savepoint(conn: Connection, name: str, context: Any) -> None:
    unit = known_unit(conn)
    if unit is not None:
        unit.roll_back_to(name)
        unit.settle()


def _checkin(dbapi_connection: Any, record: Any) -> None:
    unit = unit_returning(record.info)
    if unit is None:
        return
    if unit.needs_reset and dbapi_connection is not None:
        # After a failed COMMIT SQLAlchemy takes the transaction for ended; SQLite keeps it open.
        dbapi_connection.rollback()
    unit.end()
    connection = unit.connection
    if connection is None:
        unit.settle_later()
    else:
        _settle_unless_in_session(unit, connection)


# --- statements


def _before_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any
) -> tuple[Any, Any, Any]:
    parameters = list(multiparams) or [params or {}]
    database = Database(conn, options.get("schema_translate_map"))
    prepared = statements.before(database, element, parameters)
    if prepared is None:
        return element, multiparams, params
    statement, sets = prepared
    return (statement, sets, {}) if multiparams else (statement, [], sets[0])


def _before_cursor_execute(
    conn: Connection, cursor: Any, sql: str, params: Any, context: Any, executemany: bool
) -> None:
    if context is None:
        return
    statements.refuse_hidden(context.compiled)
    if not context.is_text:
        return
    unit = known_unit(conn)
    # In the other phases it is SQLAlchemy itself that writes PREPARE TRANSACTION and the like.
    if unit is not None and unit.phase is Phase.OPEN and may_end_transaction(conn, sql):
        unit.lose_track()


def _after_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any, result: Any
) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    if unit.succeeded(element, lambda: int(result.rowcount)):
        unit.autocommit = is_autocommit(conn)
    if commits_implicitly(conn, element):
        unit.commit()


def _handle_error(context: ExceptionContext) -> None:
    unit = known_unit(context.connection)
    if unit is None:
        return
    is_certain = not context.is_disconnect and _is_database_error(context)
    if unit.phase is Phase.OPEN:
        statement = getattr(context.execution_context, "invoked_statement", None)
        unit.failed(statement, is_unsure=unit.autocommit and not is_certain)
        _follow(unit, context, is_certain=is_certain)
    elif is_certain and not unit.was_prepared:
        unit.needs_reset = unit.phase is Phase.COMMITTING
        unit.roll_back()
    else:
        unit.lose_track()
    if context.is_disconnect:
        unit.settle()  # closing the session may now raise before it comes to its end


def _follow(unit: Unit, context: ExceptionContext, *, is_certain: bool) -> None:
    """Follow the database, where a statement that failed has ended the transaction as well."""
    connection = context.connection
    if connection is None or not is_certain or unit.autocommit:
        return
    if undid_everything(connection, context.original_exception):
        unit.roll_back()
    elif _is_ddl(context) and commits_ddl(connection):
        unit.lose_track()  # committed before it failed, unless it failed to be read


def _is_ddl(context: ExceptionContext) -> bool:
    return bool(getattr(context.execution_context, "isddl", False))


def _is_database_error(context: ExceptionContext) -> bool:
    """Tell an answer of the database from a cancellation, a timeout or a fault of the driver."""
    return isinstance(context.original_exception, context.dialect.loaded_dbapi.Error)


_LISTENERS: dict[Any, dict[str, tuple[Any, dict[str, Any]]]] = {
    Mapper: {"mapper_configured": (_mapper_configured, {})},
    Session: {
        "before_flush": (_before_flush, {}),
        "after_flush": (_after_flush, {}),
        "do_orm_execute": (_orm_execute, {}),
        "after_begin": (_session_begins, {}),
        "after_transaction_end": (_session_ends, {}),
    },
    Engine: {
        "begin": (_begin, {}),
        "begin_twophase": (_begin, {}),
        "commit": (_commit, {}),
        "commit_twophase": (_commit, {}),
        "prepare_twophase": (_prepare, {}),
        "rollback": (_roll_back, {}),
        "rollback_twophase": (_roll_back, {}),
        "savepoint": (_savepoint, {}),
        "release_savepoint": (_release_savepoint, {}),
        "rollback_savepoint": (_roll_back_savepoint, {}),
        "before_execute": (_before_execute, {"retval": True}),
        "before_cursor_execute": (_before_cursor_execute, {}),
        "after_execute": (_after_execute, {}),
        "handle_error": (_handle_error, {}),
    },
    Pool: {"checkin": (_checkin, {})},
}
