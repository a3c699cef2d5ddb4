"""Deletes the objects that the ledger notes as released, and that no row names any more.

Several workers may do so at once: each leases a batch, and a lease that its worker did not live to
end runs out. An object may be deleted twice, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import (
    ColumnElement,
    Connection,
    MetaData,
    and_,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.tables import now_ms
from sqlalchemy_file.reconcile.barrier import PATIENCE, still_named
from sqlalchemy_file.reconcile.findings import Finding, Progress, Watcher, about
from sqlalchemy_file.reconcile.workplace import (
    Bind,
    Workplace,
    refuse_problems,
    refuse_unknown_storages,
    workplace,
)
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking.deletion import delete_objects

BATCH_SIZE = 1000
LEASE = 600_000
"""Milliseconds after which others may take what a worker has taken and not finished."""

_FIRST_WAIT, _LONGEST_WAIT = 15_000, 6 * 3_600_000
_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Release:
    """One row of the ledger, leased. ``tries`` counts this one."""

    id: int
    path: str
    tries: int


def drain(
    bind: Bind,
    metadata: MetaData,
    *,
    batch_size: int = BATCH_SIZE,
    patience: float = PATIENCE,
    watcher: Watcher | None = None,
) -> Iterator[Finding]:
    """Delete what is due, and yield a finding for each released object, until nothing is due.

    Before a batch is deleted it waits ``patience`` seconds at most for transactions that may still
    copy a row; what has to wait longer is left for later. What fails is tried again after 15
    seconds, then ever longer, up to 6 hours. Raises `LedgerError` where the ledger or its triggers
    are not in order, and `UnknownStorageError`; nothing is touched then.
    """
    place = workplace(bind, metadata)
    refuse_problems(place)
    refuse_unknown_storages(place.run(partial(_strange_storages, ledger=place.ledger)))
    due = place.run(partial(_count_due, ledger=place.ledger)) if watcher else 0
    done = 0
    while leased := place.run(partial(_lease, ledger=place.ledger, limit=batch_size)):
        found = settle(place, leased, patience)
        yield from found
        done += len(leased)
        if watcher:
            watcher(Progress("drain", done, max(due, done)))
        if any(each.kind == "waiting" for each in found):
            return


def settle(place: Workplace, leased: Sequence[Release], patience: float) -> list[Finding]:
    """Delete the leased objects that no row names, and return what became of each."""
    try:
        paths = {release.path for release in leased}
        named = still_named(place, paths, patience)
        if named is None:
            place.run(partial(_postpone, ledger=place.ledger, leased=leased))
            return [about("waiting", release.path, _WAITING) for release in leased]
        failures = delete_objects(paths - named)
        place.run(partial(_finish, ledger=place.ledger, leased=leased, failures=failures))
    except BaseException:
        place.run(partial(_give_back, ledger=place.ledger, leased=leased))
        raise
    return [_outcome(path, named, failures) for path in dict.fromkeys(r.path for r in leased)]


def release(place: Workplace, paths: Iterable[str]) -> list[Release]:
    """Note objects as released, leased by this worker, and return the rows."""
    chosen = sorted(paths)
    return place.run(partial(_note, ledger=place.ledger, paths=chosen)) if chosen else []


def _outcome(path: str, named: Collection[str], failures: Mapping[str, BaseException]) -> Finding:
    if path in named:
        return about("named", path)
    error = failures.get(path)
    return about("deleted", path) if error is None else about("failed", path, _told(error))


def _strange_storages(connection: Connection, ledger: Ledger) -> set[str]:
    """Return names of storages that released paths name and nobody added."""
    path = ledger.releases.c.path
    known = [path.startswith(f"{name}/", autoescape=True) for name in StorageManager.names()]
    strange = select(path).where(not_(or_(*known))) if known else select(path)
    rows = connection.scalars(strange.limit(100))
    return {StorageManager.resolve(each)[0] or each for each in rows}


def _count_due(connection: Connection, ledger: Ledger) -> int:
    due = ledger.releases.c.due_at <= now_ms()
    return connection.scalar(select(func.count()).select_from(ledger.releases).where(due)) or 0


def _lease(connection: Connection, ledger: Ledger, limit: int) -> list[Release]:
    table = ledger.releases
    row = table.c
    due = select(row.id).where(row.due_at <= now_ms()).order_by(row.due_at).limit(limit)
    taken = {"due_at": now_ms() + LEASE, "tries": row.tries + 1}
    if connection.dialect.name == "sqlite":
        chosen = update(table).where(row.id.in_(due)).values(taken)
        rows = connection.execute(chosen.returning(row.id, row.path, row.tries))
        return [Release(*each) for each in rows]
    locked = due.add_columns(row.path, row.tries).with_for_update(skip_locked=True)
    leased = [Release(id_, path, tries + 1) for id_, path, tries in connection.execute(locked)]
    if leased:
        connection.execute(update(table).where(_among(ledger, leased)).values(taken))
    return leased


def _note(connection: Connection, ledger: Ledger, paths: Sequence[str]) -> list[Release]:
    table = ledger.releases
    now = connection.scalar(select(now_ms())) or 0
    values = {"at": now, "due_at": now + LEASE, "tries": 1}
    connection.execute(insert(table), [{"path": path, **values} for path in paths])
    mine = and_(table.c.path.in_(paths), table.c.due_at == now + LEASE, table.c.tries == 1)
    rows = connection.execute(select(table.c.id, table.c.path, table.c.tries).where(mine))
    return [Release(*each) for each in rows]


def _finish(
    connection: Connection,
    ledger: Ledger,
    leased: Sequence[Release],
    failures: Mapping[str, BaseException],
) -> None:
    table = ledger.releases
    settled = [release for release in leased if release.path not in failures]
    if settled:
        connection.execute(delete(table).where(_among(ledger, settled)))
    for each in leased:
        if each.path in failures:
            wait = min(_FIRST_WAIT * 2 ** min(each.tries - 1, 20), _LONGEST_WAIT)
            values = {"due_at": now_ms() + wait, "last_error": _told(failures[each.path])}
            connection.execute(update(table).where(table.c.id == each.id).values(values))


def _postpone(connection: Connection, ledger: Ledger, leased: Sequence[Release]) -> None:
    values = {"due_at": now_ms() + _FIRST_WAIT, "tries": ledger.releases.c.tries - 1}
    connection.execute(update(ledger.releases).where(_among(ledger, leased)).values(values))


def _give_back(connection: Connection, ledger: Ledger, leased: Sequence[Release]) -> None:
    values = {"due_at": now_ms(), "tries": ledger.releases.c.tries - 1}
    connection.execute(update(ledger.releases).where(_among(ledger, leased)).values(values))


def _among(ledger: Ledger, leased: Sequence[Release]) -> ColumnElement[bool]:
    return ledger.releases.c.id.in_([release.id for release in leased])


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]


_WAITING = "transactions are open that began before; it will be tried again"
