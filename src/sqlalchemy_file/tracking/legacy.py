"""`FileFieldSessionTracker` of version 0.7.0, for programs that subclass it.

Files are tracked by `sqlalchemy_file.tracking`. These listeners do nothing; they can be removed and
registered again.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session


class FileFieldSessionTracker:
    """Deprecated: does nothing. Sessions and connections are followed without it."""

    mapped_entities: ClassVar[dict[type, list[str]]] = {}

    @classmethod
    def delete_files(cls, paths: set[str], ctx: str) -> None:
        """Do nothing: what a transaction releases is deleted when it has ended."""

    @classmethod
    def clear_session(cls, session: Session) -> None:
        """Do nothing."""

    @classmethod
    def _do_nothing(cls, *_arguments: Any) -> None: ...

    _mapper_configured = _after_configured = _after_commit = _after_soft_rollback = _do_nothing

    @classmethod
    def setup(cls) -> None:
        """Register the listeners."""
        event.listen(Mapper, "mapper_configured", cls._mapper_configured)
        event.listen(Mapper, "after_configured", cls._after_configured)
        event.listen(Session, "after_commit", cls._after_commit)
        event.listen(Session, "after_soft_rollback", cls._after_soft_rollback)


FileFieldSessionTracker.setup()
