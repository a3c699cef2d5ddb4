"""The status: files of rows, pending deletions, and the state of the triggers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, MetaData, case, func, literal, select

from sqlalchemy_file.exceptions import LedgerError, StorageError
from sqlalchemy_file.ledger import Ledger, Problem
from sqlalchemy_file.ledger.rights import missing_rights
from sqlalchemy_file.ledger.state import Checkpoint, checkpoint, grace
from sqlalchemy_file.ledger.tables import KEPT
from sqlalchemy_file.observing import counted
from sqlalchemy_file.reconcile.context import Bind, PassContext, context_of, is_known
from sqlalchemy_file.reconcile.findings import Finding
from sqlalchemy_file.reconcile.references import Count, Named, count_files
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.storage.owners import owners_of
from sqlalchemy_file.transfer import run_blocking


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """The status of one storage; ages are in seconds, by the database's clock.

    ``is_known`` is false for a storage that rows or ledger entries refer to, but that was not
    added. ``signatures`` are those of the ledgers that write to it, one for each epoch, with the
    name of the database; None if the storage could not be asked.
    """

    name: str
    is_known: bool
    files: int
    bytes: int
    pending: int
    oldest_pending: float | None
    failed: int
    last_error: str | None
    last_sweep: float | None
    signatures: Sequence[str] | None = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a database and its storages.

    ``missing_rights`` are rights that the account needs for a drain or a sweep; an account that
    only reads does not need them.
    """

    storages: Sequence[StorageStatus]
    columns: Sequence[Named]
    problems: Sequence[Problem]
    grace: float
    malformed: Sequence[Finding] = ()
    missing_rights: Sequence[str] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing needs attention: no problem, no malformed value, no failure."""
        return not (self.problems or self.malformed) and all(
            each.is_known and not each.failed for each in self.storages
        )

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each line that ``--json`` prints."""
        return [
            *({"kind": "storage", **asdict(each)} for each in self.storages),
            *({"kind": "column", **asdict(each)} for each in self.columns),
            *({"kind": "problem", "problem": each.kind, "table": each.table,
               "detail": each.message} for each in self.problems),
            *(each.as_dict() for each in self.malformed),
            *({"kind": "missing right", "right": each} for each in self.missing_rights),
        ]  # fmt: skip


_Waiting = tuple[int, int | None, int, str | None]
"""Of the entries of a storage: their number, the oldest, the number of failures, the last error."""


def status(bind: Bind, metadata: MetaData) -> Status:
    """Return the status of a database and its storages; observers get the counts.

        assert status(engine, Base.metadata).is_clean

    Raises `LedgerError` without a ledger or its tables.
    """
    context = context_of(bind, metadata)
    problems = context.run(context.ledger.problems)
    count = _count(context, problems)
    waiting = context.ask(_waiting)
    names = {*StorageManager.names(), *waiting, *(each.storage for each in count.columns)}
    now = context.now()
    storages = [
        _of_storage(name, count.columns, waiting.get(name), context.ask(checkpoint, name), now)
        for name in sorted(names)
    ]
    for each in storages:
        counted("pending releases", each.pending, each.name)
        counted("failed deletions", each.failed, each.name)
    return Status(
        storages,
        count.columns,
        problems,
        context.ask(grace),
        count.malformed.findings(),
        context.ask(missing_rights, "sweep"),
    )


def _count(context: PassContext, problems: list[Problem]) -> Count:
    """Return the files of rows, or add to the problems why they cannot be counted."""
    reason = "not counted: the database lacks a table or a column of the metadata"
    if not any(each.kind in _ABSENT for each in problems):
        try:
            return count_files(context)
        except LedgerError as error:  # this account does not see all rows
            reason = str(error)
    problems.append(Problem("the file columns", "unreadable", reason))
    return Count()


_ABSENT = ("missing table", "missing column")


def _of_storage(
    name: str,
    columns: Sequence[Named],
    waiting: _Waiting | None,
    swept: Checkpoint | None,
    now: int,
) -> StorageStatus:
    pending, oldest, failed, last_error = waiting or (0, None, 0, None)
    own = [each for each in columns if each.storage == name]
    return StorageStatus(
        name=name,
        is_known=is_known(name),
        files=sum(each.files for each in own),
        bytes=sum(each.bytes for each in own),
        pending=pending,
        oldest_pending=None if oldest is None else max(0.0, (now - oldest) / 1000),
        failed=failed,
        last_error=last_error,
        last_sweep=None if swept is None else max(0.0, (now - swept.at) / 1000),
        signatures=_signatures(name),
    )


def _signatures(name: str) -> Sequence[str] | None:
    if not is_known(name):
        return ()
    try:
        with named(name):
            return [*map(str, run_blocking(partial(owners_of, StorageManager.storage(name))))]
    except StorageError:
        return None


def _waiting(connection: Connection, ledger: Ledger) -> dict[str, _Waiting]:
    row = ledger.releases.c
    is_whole = func.substr(row.path, 1, func.char_length(row.storage) + 1) == row.storage + "/"
    # LIKE ignores case on SQLite.
    known = [
        (func.substr(row.path, 1, len(name) + 1) == f"{name}/", literal(name))
        for name in StorageManager.names()
    ]
    storage = case((is_whole, row.storage), *known, else_="")
    first, failed = func.min(row.path), func.count(row.last_error)
    statement = (
        select(storage, first, func.count(), func.min(row.at), failed, func.max(row.last_error))
        .where(row.lease.is_distinct_from(KEPT))
        .group_by(storage)
    )
    return {
        name or StorageManager.resolve(path)[0]: (pending, oldest, failed, error)
        for name, path, pending, oldest, failed, error in connection.execute(statement)
    }
