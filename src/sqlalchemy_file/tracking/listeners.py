"""SQLAlchemy's event listeners: the only ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import Compiled, ExceptionContext
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.pool import Pool
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.elements import ClauseElement

from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.tracking.databases import is_autocommit, may_commit
from sqlalchemy_file.tracking.deleting.clearing import clear
from sqlalchemy_file.tracking.endings import conclusions, pools, transactions
from sqlalchemy_file.tracking.endings.errors import follow_error
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileAttribute, file_attributes
from sqlalchemy_file.tracking.unit import answers
from sqlalchemy_file.tracking.unit.standing import Standing, asked_if_stale, standing
from sqlalchemy_file.tracking.unit.units import known_unit
from sqlalchemy_file.tracking.uploading import assigning, flush
from sqlalchemy_file.tracking.writes import statements
from sqlalchemy_file.tracking.writes.values import coerced

# Held by weak references: one pass of the garbage collector frees a session and its connections.
_connections: WeakKeyDictionary[Session, list[ref[Connection]]] = WeakKeyDictionary()


def install() -> None:
    """Listen to every mapper, session, engine and pool; once is enough."""
    answers.tell(conclusions.Answers())
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
    for reference in _connections.get(session, ()):
        connection = reference()
        unit = known_unit(connection)
        if connection is not None and unit is not None:
            flush.check_moves(connection, unit)
            unit.forget_flush()


def _orm_execute(state: ORMExecuteState) -> None:
    if state.is_update:
        state.statement = coerced(state.statement)


def _session_begins(session: Session, transaction: SessionTransaction, conn: Connection) -> None:
    known = _connections.setdefault(session, [])
    if not any(reference() is conn for reference in known):  # else this is a savepoint
        known.append(ref(conn))
    if conclusions.session_of(conn) is None:
        conclusions.sessions[conn] = ref(session)


def _session_ends(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is not None:
        return
    for reference in _connections.pop(session, ()):
        connection = reference()
        if connection is None:
            continue
        if conclusions.session_of(connection) is session:
            del conclusions.sessions[connection]
        unit = known_unit(connection)
        if unit is not None:
            gone = unit.settle()
            if leased := unit.take_leased():
                clear(connection, leased, gone)


# --- statements


def _before_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any
) -> tuple[Any, Any, Any]:
    if not isinstance(element, _WRITING):
        return element, multiparams, params
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
    compiled = context.compiled
    if compiled is not None and getattr(compiled, "ctes", None):
        statements.refuse_hidden(compiled)
    unit = known_unit(conn)
    if unit is not None:
        is_ddl = bool(context.isddl)
        context.sqlalchemy_file_may_end = transactions.before_statement(
            conn, unit, sql, is_ddl=is_ddl
        )


def _after_cursor_execute(
    conn: Connection, cursor: Any, sql: str, params: Any, context: Any, executemany: bool
) -> None:
    if getattr(context, "sqlalchemy_file_may_end", False):  # noted there by the listener before it
        unit = known_unit(conn)
        if unit is not None:
            transactions.after_statement(conn, unit)


def _after_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any, result: Any
) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    if unit.succeeded(element, lambda: int(result.rowcount)):
        unit.has_run(asked_if_stale(conn), is_autocommit=is_autocommit(conn))
    if may_commit(conn, element) and standing(conn) is not Standing.OPEN:
        unit.commit()


def _handle_error(context: ExceptionContext) -> None:
    connection = context.connection
    unit = known_unit(connection)
    if unit is not None and connection is not None:
        follow_error(unit, connection, context)


_WRITING = (Insert, Update, Delete, Compiled)

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
        "begin": (transactions.begin, {}),
        "begin_twophase": (transactions.begin, {}),
        "commit": (transactions.commit, {}),
        "commit_twophase": (transactions.commit, {}),
        "prepare_twophase": (transactions.prepare, {}),
        "rollback": (transactions.roll_back, {}),
        "rollback_twophase": (transactions.roll_back, {}),
        "savepoint": (transactions.savepoint, {}),
        "release_savepoint": (transactions.release_savepoint, {}),
        "before_execute": (_before_execute, {"retval": True}),
        "before_cursor_execute": (_before_cursor_execute, {}),
        "after_cursor_execute": (_after_cursor_execute, {}),
        "after_execute": (_after_execute, {}),
        "handle_error": (_handle_error, {}),
    },
    Pool: {
        "reset": (pools.reset, {}),
        "detach": (pools.detach, {}),
        "checkin": (pools.checkin, {}),
    },
}
