"""Findings and progress of the drain, the sweep and the full pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy_file.storage import ObjectInfo, StorageManager

DONE = frozenset({"deleted", "aborted", "named"})
"""Kinds of findings that need no further action."""

MOST_NAMED = 100
"""The number of malformed values that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding about one object, upload or reference.

    ``kind`` is one of these:

    * ``deleted``: no row refers to the object, and it was deleted
    * ``named``: a row refers to the object again, and it stays
    * ``failed``: the object could not be deleted, ``detail`` says why; the drain tries again
    * ``waiting``: open transactions may still copy its row; the drain tries again
    * ``orphan``: the object was stored here and never committed
    * ``kept``: no row refers to it; a field with ``on_release="keep"`` left it, or may have
    * ``foreign``: no row refers to it; its key is not one of this package, or the object is
      another ledger's
    * ``earlier``: no row refers to it; stored before the database was copied or moved
    * ``dangling``: a row refers to the object, and the storage does not have it
    * ``malformed``: a value in a file column that this package does not write, ``detail`` says
      where and why; ``storage`` and ``key`` are empty
    * ``upload``: a multipart upload that was never completed
    * ``aborted``: such an upload, whose parts were deleted
    """

    kind: str
    storage: str
    key: str
    size: int | None = None
    last_modified: str | None = None
    detail: str | None = None

    @property
    def path(self) -> str:
        return "" if self.kind == "malformed" else f"{self.storage}/{self.key}"

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.kind in DONE

    def as_dict(self) -> dict[str, Any]:
        """Return the known fields, as ``--json`` prints them."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {**known, "path": self.path}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a pass: ``done`` of ``total``, which may be an estimate, or None."""

    stage: str
    done: float
    total: float | None = None


OnProgress = Callable[[Progress], None]


def about(path: str, kind: str, detail: str | None) -> Finding:
    storage, key = StorageManager.resolve(path)
    return Finding(kind=kind, storage=storage, key=key, detail=detail)


def about_object(kind: str, storage: str, info: ObjectInfo, detail: str | None) -> Finding:
    date = None if info.last_modified is None else info.last_modified.isoformat()
    return Finding(
        kind=kind, storage=storage, key=info.key, size=info.size, last_modified=date, detail=detail
    )


class Malformed:
    """Values that this package does not write, as findings; only the first ones are named."""

    def __init__(self) -> None:
        self._named: list[Finding] = []
        self._count = 0

    def add(self, column: str, key: Iterable[Any], faults: Iterable[str]) -> None:
        """Record a value: its column, the primary key of its row, its faults."""
        self._count += 1
        if self._count <= MOST_NAMED:
            row = ", ".join(map(str, key)) or "without a primary key"
            self._named.append(_malformed(f"{column} of row {row}: {'; '.join(faults)}"))

    def findings(self) -> list[Finding]:
        """Return the findings; the last one counts those that are not listed."""
        rest = self._count - len(self._named)
        return [*self._named, *([_malformed(f"{rest:,} more values")] if rest else [])]


def _malformed(detail: str) -> Finding:
    return Finding(kind="malformed", storage="", key="", detail=detail)
