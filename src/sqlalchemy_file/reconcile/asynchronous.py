"""The functions for `AsyncSession` and `AsyncEngine`, run in SQLAlchemy's greenlets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Engine, MetaData
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile.drain import BATCH_SIZE, drain
from sqlalchemy_file.reconcile.findings import Finding, OnProgress
from sqlalchemy_file.reconcile.full import compare
from sqlalchemy_file.reconcile.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.status import Status, status
from sqlalchemy_file.reconcile.sweep import sweep

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    AsyncBind: TypeAlias = AsyncSession | AsyncEngine
    AsyncOthers: TypeAlias = Iterable[tuple[AsyncBind, MetaData]]


def adrain(
    bind: AsyncBind,
    metadata: MetaData,
    *,
    others: AsyncOthers = (),
    batch_size: int = BATCH_SIZE,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> AsyncIterator[Finding]:
    """Drain as `drain` does, without blocking the event loop."""
    search = partial(drain, batch_size=batch_size, patience=patience, watcher=watcher)
    return _driven(search, bind, metadata, others)


def asweep(
    bind: AsyncBind,
    metadata: MetaData,
    *,
    others: AsyncOthers = (),
    storages: Sequence[str] | None = None,
    delete: bool = False,
    grace: float | None = None,
    adopt: bool = False,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> AsyncIterator[Finding]:
    """Sweep as `sweep` does, without blocking the event loop."""
    search = partial(sweep, storages=storages, delete=delete, grace=grace, adopt=adopt)
    search = partial(search, patience=patience, watcher=watcher)
    return _driven(search, bind, metadata, others)


def acompare(
    bind: AsyncBind,
    metadata: MetaData,
    *,
    others: AsyncOthers = (),
    storages: Sequence[str] | None = None,
    delete: bool = False,
    grace: float | None = None,
    adopt: bool = False,
    restart: bool = False,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> AsyncIterator[Finding]:
    """Compare as `compare` does, without blocking the event loop."""
    search = partial(compare, storages=storages, delete=delete, grace=grace, adopt=adopt)
    search = partial(search, restart=restart, patience=patience, watcher=watcher)
    return _driven(search, bind, metadata, others)


async def astatus(bind: AsyncBind, metadata: MetaData) -> Status:
    """Return the same as `status`, without blocking the event loop."""
    return await greenlet_spawn(status, _engine(bind), metadata)


def _engine(bind: AsyncBind) -> Engine:
    session: Any = getattr(bind, "sync_session", None)
    found = getattr(bind, "sync_engine", None) if session is None else session.get_bind()
    if isinstance(found, Engine):
        return found
    raise LedgerError("this needs transactions of its own: an AsyncSession of an AsyncEngine")


async def _driven(
    search: Callable[..., Iterator[Finding]],
    bind: AsyncBind,
    metadata: MetaData,
    others: AsyncOthers,
) -> AsyncIterator[Finding]:
    given = [(_engine(each), further) for each, further in others]
    findings: Any = search(_engine(bind), metadata, others=given)
    try:
        while (finding := await greenlet_spawn(next, findings, None)) is not None:
            yield finding
    finally:
        await greenlet_spawn(findings.close)
