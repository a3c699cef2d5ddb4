"""The value of a ``multiple`` file column: a list that tracks its changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self, SupportsIndex, TypeVar, cast

from sqlalchemy.ext import mutable
from sqlalchemy.orm.attributes import flag_modified

from sqlalchemy_file.content.received import is_unchosen, is_upload
from sqlalchemy_file.content.sources import is_content
from sqlalchemy_file.file import File

__all__ = ["MutableList"]

T = TypeVar("T")


def as_file(value: Any, kind: type[File] = File) -> Any:
    """Return ``value`` as a file: a `File` as it is, content made into one of ``kind``.

    Raises `TypeError` for anything else; for a plain dict above all, with which a client
    could name somebody else's object.
    """
    if isinstance(value, File):
        return value
    is_collection = isinstance(value, dict | list | tuple | set) and not is_upload(value)
    if is_collection or not is_content(value):
        raise TypeError(
            f"expected a File, or content to make one from, not {type(value).__name__}: "
            "assign File(content, filename=...)"
        )
    return kind(value)


def same_file(value: Any, held: Iterable[Any]) -> Any:
    """Return the held file that a plain dict is the record of, or the value as it is.

    It may have been to JSON and back.
    """
    if not isinstance(value, dict) or isinstance(value, File):
        return value
    for file in held:
        if isinstance(file, File) and file.saved and value in (dict(file), _as_json(file)):
            return file
    return value


def _as_json(file: File) -> Any:
    return json.loads(json.dumps(file.encode(), default=str))


class MutableList(mutable.MutableList[T]):
    """A list of files, the value of a ``multiple`` column. It tracks its changes.

        document.pages.append(File(b"...", filename="page.txt"))

    With ``kind``, which a file field sets, content becomes files of that class, and other elements
    raise `TypeError`; an upload of a form without a chosen file changes nothing. Without it the
    list takes any elements. As in version 0.7, ``_removed`` has the removed elements, in order of
    removal.
    """

    _removed: list[T]

    def __init__(self, *args: Iterable[Any], kind: type[File] | None = None) -> None:
        self._removed = []
        self._kind = kind
        super().__init__(self._files(args[0] if args else ()))

    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:
        """Return ``value`` as a list of this class; raise `TypeError` if it is not a list."""
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, list | tuple):
            return cls(value)
        raise TypeError(
            f"{key}: expected a list of File, not {type(value).__name__}: "
            "the field is multiple, assign [File(...), ...]"
        )

    def adopt(self, kind: type[File]) -> None:
        """Make this the list of a file field; raise `TypeError` for other elements than files."""
        if self._kind is None:
            files = [as_file(item, kind) for item in self if not is_unchosen(item)]
            list.__setitem__(self, slice(None), files)
            self._kind = kind

    def changed(self) -> None:
        """Mark the rows that still hold this very list."""
        for parent, key in list(self._parents.items()):
            if parent.dict.get(key) is self:
                flag_modified(cast("Any", parent.obj()), key)

    def is_held_by_another(self, parent: Any, key: str) -> bool:
        """Return True if another row or column also holds this list."""
        return any(
            (other is not parent or name != key) and other.dict.get(name) is self
            for other, name in self._parents.items()
        )

    def _file(self, value: Any) -> T:
        if self._kind is None:
            return cast("T", value)
        return cast("T", as_file(same_file(value, self), self._kind))

    def _files(self, values: Iterable[Any]) -> list[T]:
        return [self._file(value) for value in values if not self._is_nothing(value)]

    def _is_nothing(self, value: Any) -> bool:
        return self._kind is not None and is_unchosen(value)

    def __setitem__(self, index: Any, value: Any) -> None:
        taken = self[index] if isinstance(index, slice) else [self[index]]
        values = list(value) if isinstance(index, slice) else [value]
        if values and all(map(self._is_nothing, values)):
            return
        # SQLAlchemy 2.0's own method takes a File for an iterable, and leaves the item as it is.
        given = self._files(values) if isinstance(index, slice) else self._file(value)
        list.__setitem__(self, index, given)
        self.changed()
        self._removed.extend(taken)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        taken = self[index] if isinstance(index, slice) else [self[index]]
        super().__delitem__(index)
        self._removed.extend(taken)

    def pop(self, *index: SupportsIndex) -> T:
        item = super().pop(*index)
        self._removed.append(item)
        return item

    def remove(self, value: T, /) -> None:
        del self[self.index(value)]

    def clear(self) -> None:
        del self[:]

    def append(self, value: Any, /) -> None:
        if not self._is_nothing(value):
            super().append(self._file(value))

    def insert(self, index: SupportsIndex, value: Any, /) -> None:
        if not self._is_nothing(value):
            super().insert(index, self._file(value))

    def extend(self, values: Iterable[Any], /) -> None:
        if files := self._files(values):
            super().extend(files)

    def __imul__(self, times: SupportsIndex) -> Self:
        taken = list(self) if times.__index__() <= 0 else []
        super().__imul__(times)
        self._removed.extend(taken)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _restore, (type(self), list(self), list(self._removed), self._kind)


def _restore(
    cls: type[MutableList[Any]], items: list[Any], removed: list[Any], kind: type[File] | None
) -> MutableList[Any]:
    restored = cls(items, kind=kind)
    restored._removed = removed
    return restored
