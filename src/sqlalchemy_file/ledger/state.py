"""The state that sessions, the drain and the sweep share: grace period, checkpoints, positions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError

from sqlalchemy_file.ledger.tables import LedgerTables, name_in, now

DEFAULT_GRACE = 3600.0
"""Seconds that may pass between storing an object and committing its row."""

_GRACE, _CHECKPOINT, _POSITION = "grace", "checkpoint:", "full:"
_POSITION_KEPT = 24 * 3_600_000


class Checkpoint(NamedTuple):
    """At a time, in a database, all objects were swept whose ids were made before ``until``."""

    until: int
    at: int
    database: str


def grace(connection: Connection, ledger: LedgerTables) -> float:
    """Return the seconds within which a transaction must commit what it has stored."""
    return grace_in(_read(connection, ledger, _GRACE))


def grace_in(value: str | None) -> float:
    """Return the seconds in a value of the state table; raises `ValueError` if it is damaged."""
    try:
        return DEFAULT_GRACE if value is None else float(json.loads(value)["seconds"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"the grace period is an object with seconds, not {value!r}") from error


def grace_query(dialect: Dialect, ledger: LedgerTables, schema: str | None) -> str:
    """Return the query for that value, without parameters."""
    table = name_in(dialect, ledger.state, schema)
    return f"SELECT value FROM {table} WHERE name = '{_GRACE}'"


def sweeping_grace(connection: Connection, ledger: LedgerTables) -> float:
    """Return the seconds for which the sweep leaves an object alone.

    That is `grace`, or a longer one before it, while open transactions may still rely on that.
    """
    known = load(connection, ledger, _GRACE) or {}
    seconds, before = known.get("seconds", DEFAULT_GRACE), known.get("before", 0)
    if before <= seconds:
        return float(seconds)
    age = (now(connection) - known["since"]) / 1000
    return float(before if age < 2 * before else seconds)


def set_grace(connection: Connection, ledger: LedgerTables, seconds: float) -> None:
    """Change the grace period; the caller commits."""
    if not 0 <= seconds < 366 * 86400:
        raise ValueError(f"the grace period is a number of seconds up to a year, not {seconds!r}")
    before = sweeping_grace(connection, ledger)
    value = {"seconds": seconds, "before": before, "since": now(connection)}
    save(connection, ledger, _GRACE, value)


def checkpoint(connection: Connection, ledger: LedgerTables, storage: str) -> Checkpoint | None:
    """Return the checkpoint of a storage, or None before its first sweep."""
    known = load(connection, ledger, f"{_CHECKPOINT}{storage}")
    return None if known is None else Checkpoint(**known)


def set_checkpoint(
    connection: Connection, ledger: LedgerTables, storage: str, until: int, database: str
) -> Checkpoint:
    """Record that a storage was swept up to ``until``; the caller commits."""
    swept = Checkpoint(until, now(connection), database)
    save(connection, ledger, f"{_CHECKPOINT}{storage}", swept._asdict())
    return swept


def position(
    connection: Connection, ledger: LedgerTables, storage: str, purpose: str
) -> str | None:
    """Return the last key of an interrupted full pass over a storage.

    None for a pass with another purpose, and one that was interrupted more than a day ago.
    """
    try:
        known = load(connection, ledger, f"{_POSITION}{storage}") or {}
    except ValueError:  # written by an earlier release
        return None
    if known.get("purpose") != purpose or now(connection) - known["at"] > _POSITION_KEPT:
        return None
    return str(known["key"])


def set_position(
    connection: Connection, ledger: LedgerTables, storage: str, purpose: str, key: str | None
) -> None:
    """Record the position of a full pass; None when it is complete. The caller commits."""
    known = {"key": key, "purpose": purpose, "at": now(connection)} if key else {}
    save(connection, ledger, f"{_POSITION}{storage}", known)


def read_all(
    connection: Connection,
    ledger: LedgerTables,
    names: Collection[str],
    schemas: Mapping[str | None, str | None] | None = None,
) -> dict[str, str]:
    state = ledger.state.c
    query = select(state.name, state.value).where(state.name.in_(names))
    # The connection's own schemas would take precedence over those of the query.
    options: dict[str, Any] = {"schema_translate_map": schemas} if schemas else {}
    return {row.name: row.value for row in connection.execute(query, execution_options=options)}


def forget_checkpoints(connection: Connection, ledger: LedgerTables) -> None:
    """Let the next sweeps, and full passes, begin again; the caller commits."""
    name = ledger.state.c.name
    begun = or_(name.startswith(_CHECKPOINT), name.startswith(_POSITION))
    connection.execute(delete(ledger.state).where(begun))


def _read(connection: Connection, ledger: LedgerTables, name: str) -> str | None:
    state = ledger.state.c
    return connection.scalar(select(state.value).where(state.name == name))


def load(connection: Connection, ledger: LedgerTables, name: str) -> Any:
    value = _read(connection, ledger, name)
    return None if value is None else json.loads(value)


def save(connection: Connection, ledger: LedgerTables, name: str, value: Any) -> None:
    """Save something as JSON under a name; the caller commits."""
    write(connection, ledger, name, json.dumps(value))


def write(connection: Connection, ledger: LedgerTables, name: str, value: str) -> None:
    """Save a text under a name; the caller commits."""
    change = update(ledger.state).where(ledger.state.c.name == name).values(value=value)
    if connection.execute(change).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(ledger.state).values(name=name, value=value))
    except IntegrityError:  # another transaction was first
        connection.execute(change)
