"""Validation before the flush, so that a request can be refused early."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast, overload

from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.uploading.checking import check
from sqlalchemy_file.tracking.uploading.flush import pending
from sqlalchemy_file.tracking.uploading.steps import Unsaved
from sqlalchemy_file.types import file_field

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
    from sqlalchemy.orm import scoped_session

__all__ = ["validate"]


@overload
def validate(session: Session | scoped_session[Any]) -> None: ...


@overload
def validate(
    session: AsyncSession | async_scoped_session[Any],
) -> Coroutine[Any, Any, None]: ...


def validate(session: Any) -> Coroutine[Any, Any, None] | None:
    """Validate all files that the next flush would store; nothing is stored.

        session.add(Document(content=upload))
        validate(session)  # with an AsyncSession: await validate(session)

    All refusals are raised together: a `ValidationError`, or `ValidationErrors`. The session needs
    no rollback then. The flush does not validate unchanged files again, unless a validator takes
    the row.
    """
    if not isinstance(session, Session) and not hasattr(session, "sync_session"):
        session = session()  # a scoped session
    if not isinstance(session, Session):
        return cast("AsyncSession", session).run_sync(_validate)
    _validate(session)
    return None


def _validate(session: Session) -> None:
    items = {id(item.file): item for item in pending(session)}
    check(list(items.values()), is_ahead=True)


def _validate_for(file: File, column: Any) -> None:
    check(_unsaved(file, column), is_ahead=True)


async def _avalidate_for(file: File, column: Any) -> None:
    await greenlet_spawn(check, _unsaved(file, column), is_ahead=True)


def _unsaved(file: File, column: Any) -> list[Unsaved]:
    kind = getattr(column, "type", None)
    field = None if kind is None else file_field(kind)
    if field is None:
        raise TypeError(f"expected a mapped file column, as in Document.content, not {column!r}")
    return [] if file.saved else [Unsaved(file, field, column.key)]


File._judge = staticmethod(_validate_for)
File._ajudge = staticmethod(_avalidate_for)
