"""SQLAlchemy's event listeners: the only ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any
from weakref import ref

from sqlalchemy import Column, Connection, Engine, Table, event
from sqlalchemy.engine import Compiled
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.pool import Pool
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.elements import ClauseElement

from sqlalchemy_file.file import File
from sqlalchemy_file.mutable_list import MutableList, same_file
from sqlalchemy_file.tracking.changes import files_in
from sqlalchemy_file.tracking.endings import connections, transactions
from sqlalchemy_file.tracking.endings.connections import SESSION, UNIT, follow
from sqlalchemy_file.tracking.endings.statements import after_statement, follow_error, may_end
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileAttribute, file_attributes, forget, know
from sqlalchemy_file.tracking.unit.doubts import check_moves
from sqlalchemy_file.tracking.unit.standing import (
    Standing,
    asked_if_stale,
    is_autocommit,
    may_commit,
    standing,
)
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.uploading.flush import store_pending
from sqlalchemy_file.tracking.writes import statements
from sqlalchemy_file.tracking.writes.values import coerced


def install() -> None:
    """Listen to every mapper, session, engine and pool; once is enough."""
    for target, listeners in _LISTENERS.items():
        for name, (listener, options) in listeners.items():
            if not event.contains(target, name, listener):
                event.listen(target, name, listener, **options)


# --- tables and attributes


def _mapper_configured(mapper: Mapper[Any], class_: type) -> None:
    for attribute in file_attributes(mapper):
        instrumented = getattr(class_, attribute.name)
        assign = partial(_assigned, attribute)
        event.listen(instrumented, "set", assign, retval=True, raw=True, propagate=True)
        if attribute.field.multiple:
            MutableList.associate_with_attribute(instrumented)


def _assigned(
    attribute: FileAttribute, state: InstanceState[Any], value: Any, old: Any, initiator: Any
) -> Any:
    """Return the file, the list of files, or None that the attribute is to hold.

    An upload that nobody has chosen leaves the attribute as it is. A record that the row holds
    already, which a form or a PATCH request sends back, is the file it describes. Raises
    `TypeError` for what is no file.
    """
    field = attribute.field
    if value is None or isinstance(value, File):
        return field.coerce(value, attribute.label)
    if isinstance(value, ClauseElement):
        return value  # judged when its statement runs
    if field.is_unchosen(value):
        return _held(state, attribute, old)
    if _has_records(value):
        value = _handed_back(value, _files_held(state, attribute, old))
    found = field.coerce(value, attribute.label)
    if isinstance(found, MutableList) and found.is_held_by_another(state, attribute.name):
        found = MutableList(found, kind=field.upload_type)
    return found


def _held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Any:
    """Return what the attribute holds; it is loaded if it has to be."""
    if attribute.name not in state.dict and state.key is not None:
        return getattr(state.obj(), attribute.name)
    return old if isinstance(old, File | MutableList) else None


def _files_held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Sequence[File]:
    now = files_in(_held(state, attribute, old))
    before = state.committed_state.get(attribute.name)
    return [*now, *files_in(before if isinstance(before, File | list) else None)]


def _has_records(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_records, value)) if not hasattr(value, "_fields") else False
    return isinstance(value, dict) and not isinstance(value, File)


def _handed_back(value: Any, held: Sequence[File]) -> Any:
    if isinstance(value, dict):
        return same_file(value, held)
    return [same_file(item, held) for item in value]


# --- sessions


def _after_flush(session: Session, context: Any) -> None:
    for reference in vars(session).get(_CONNECTIONS, ()):
        connection = reference()
        if connection is not None and (unit := vars(connection).get(UNIT)) is not None:
            if unit.decisions is not None and unit.decisions.moved:
                check_moves(connection, unit, unit.decisions.moved)
            unit.decisions = None


def _orm_execute(state: ORMExecuteState) -> None:
    if state.is_update:
        state.statement = coerced(state.statement)


def _session_begins(session: Session, transaction: SessionTransaction, conn: Connection) -> None:
    # By weak references: one pass of the garbage collector frees a session and its connections.
    reference, of_session, of_connection = ref(conn), vars(session), vars(conn)
    if _CONNECTIONS not in of_session:
        of_session[_CONNECTIONS] = [reference]
    elif reference not in of_session[_CONNECTIONS]:  # else this is a savepoint
        of_session[_CONNECTIONS].append(reference)
    if SESSION not in of_connection or of_connection[SESSION]() is None:
        of_connection[SESSION] = ref(session)


def _session_ends(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is not None:
        return
    for reference in vars(session).pop(_CONNECTIONS, ()):
        connection = reference()
        if connection is None:
            continue
        attributes = vars(connection)
        if attributes.get(SESSION) == ref(session):
            del attributes[SESSION]
        if (unit := attributes.get(UNIT)) is not None:
            connections.settle(unit, connection, is_now=True)


# --- statements


def _before_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any
) -> tuple[Any, Any, Any]:
    if not hasattr(conn.dialect, _FOLLOWED):
        # SQLAlchemy's two events around each statement would take several times as long as this.
        follow(conn.dialect, _FOLLOWED, _SENDING, _followed)
    if not isinstance(element, _WRITING):
        return element, multiparams, params
    target = statements.table_of(element)
    if target is None:
        return element, multiparams, params
    sending = conn.dialect.dispatch
    if any((sending.do_execute, sending.do_executemany, sending.do_execute_no_params)):
        _follow_by_events(conn.engine)
    parameters = list(multiparams) or [params or {}]
    database = Database(conn, options.get("schema_translate_map"))
    prepared = statements.before(database, target, element, parameters)
    if prepared is None:
        return element, multiparams, params
    statement, sets = prepared
    return (statement, sets, {}) if multiparams else (statement, [], sets[0])


def _followed(verb: str, send: Callable[..., Any]) -> Callable[..., Any]:
    """Follow what a dialect sends, raw statements too."""

    @wraps(send)
    def sent(cursor: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        context: Any = arguments[-1] if arguments else None
        if options or not isinstance(context, DefaultExecutionContext):
            return send(cursor, sql, *arguments, **options)  # not sent by SQLAlchemy
        unit = vars(context.root_connection).get(UNIT)
        if unit is not None and unit.cut_off:
            statements.refuse_cut_off(unit, context.invoked_statement)
        if (unit is None or not unit.is_at_stake) and not getattr(context.compiled, "ctes", None):
            return send(cursor, sql, *arguments)
        if _BY_EVENTS in vars(context):
            return send(cursor, sql, *arguments)
        unit = _unit_to_look_after(context, sql)
        result = send(cursor, sql, *arguments)
        if unit is not None:
            after_statement(context.root_connection, unit)
        return result

    return sent


def _unit_to_look_after(context: Any, sql: str) -> Unit | None:
    """Return the unit of a connection whose transaction a statement may end."""
    if getattr(context.compiled, "ctes", None):
        statements.refuse_hidden(context.compiled)
    conn = context.root_connection
    unit: Unit | None = vars(conn).get(UNIT)
    if unit is None or unit.verbs or not unit.is_at_stake:
        return None
    return unit if may_end(conn, unit, sql, is_ddl=context.isddl) else None


def _follow_by_events(engine: Engine) -> None:
    """Follow statements that a program's listener of ``do_execute`` may send itself.

    If it returns True, the dialect's method is not called.
    """
    for name, listener in _OF_CURSORS.items():
        if not event.contains(engine, name, listener):
            event.listen(engine, name, listener)


def _before_cursor_execute(
    conn: Connection, cursor: Any, sql: str, params: Any, context: Any, executemany: bool
) -> None:
    if isinstance(context, DefaultExecutionContext):
        vars(context)[_BY_EVENTS] = _unit_to_look_after(context, sql)


def _after_cursor_execute(
    conn: Connection, cursor: Any, sql: str, params: Any, context: Any, executemany: bool
) -> None:
    unit = getattr(context, _BY_EVENTS, None)
    if unit is not None:
        after_statement(conn, unit)


def _after_execute(
    conn: Connection, element: Any, multiparams: Any, params: Any, options: Any, result: Any
) -> None:
    if UNIT not in vars(conn):
        return
    unit: Unit = vars(conn)[UNIT]
    is_ours = unit.running and unit.succeeded(element, lambda: int(result.rowcount))
    if is_ours and not unit.has_begun:  # else it is known that a transaction is open
        now = asked_if_stale(conn)
        unit.has_run(now, is_autocommit=now is Standing.UNKNOWN and is_autocommit(conn))
    is_ddl = isinstance(element, ExecutableDDLElement)
    if is_ddl and may_commit(conn, element) and standing(conn) is not Standing.OPEN:
        unit.commit()


_WRITING = (Insert, Update, Delete, Compiled)
_CONNECTIONS = "_sqlalchemy_file_connections"  # of a session, with references to them
_FOLLOWED = "_sqlalchemy_file_followed"
_BY_EVENTS = "_sqlalchemy_file_unit"  # of a statement, with the unit to look after, or None
_SENDING = ("do_execute", "do_executemany", "do_execute_no_params")
_OF_CURSORS = {
    "before_cursor_execute": _before_cursor_execute,
    "after_cursor_execute": _after_cursor_execute,
}

_LISTENERS: dict[Any, dict[str, tuple[Any, dict[str, Any]]]] = {
    Table: {"after_parent_attach": (know, {})},
    Column: {"after_parent_attach": (forget, {})},
    Mapper: {"mapper_configured": (_mapper_configured, {})},
    Session: {
        "before_flush": (store_pending, {}),
        "after_flush": (_after_flush, {}),
        "do_orm_execute": (_orm_execute, {}),
        "after_begin": (_session_begins, {}),
        "after_transaction_end": (_session_ends, {}),
    },
    Engine: {
        "begin": (connections.begin, {}),
        "begin_twophase": (connections.begin, {}),
        "commit": (transactions.commit, {}),
        "commit_twophase": (transactions.commit, {}),
        "prepare_twophase": (transactions.prepare, {}),
        "rollback": (transactions.roll_back, {}),
        "rollback_twophase": (transactions.roll_back, {}),
        "savepoint": (transactions.savepoint, {}),
        "release_savepoint": (transactions.release_savepoint, {}),
        "before_execute": (_before_execute, {"retval": True}),
        "after_execute": (_after_execute, {}),
        "handle_error": (follow_error, {}),
    },
    Pool: {
        "reset": (transactions.reset, {}),
        "detach": (transactions.detach, {}),
        "checkin": (transactions.checkin, {}),
    },
}
