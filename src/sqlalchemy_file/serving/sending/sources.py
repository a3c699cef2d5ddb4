"""The ranges of one object, all of one version of it: it may be replaced while it is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import partial
from typing import Any

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.http.ranges import ByteRange
from sqlalchemy_file.serving.sending.budget import WHOLE, within_budget
from sqlalchemy_file.serving.sending.file_reading import LocalFile, require_size
from sqlalchemy_file.serving.sending.timeouts import Ranges, chunks_in_time
from sqlalchemy_file.storage import ObjectInfo
from sqlalchemy_file.storage.common.calling import IN_LOOP


def ranges_of(
    storage_name: str,
    storage: Any,
    key: str,
    wanted: Sequence[ByteRange],
    info: ObjectInfo | None,
    size: int | None,
) -> AbstractContextManager[Ranges]:
    """Return what streams ranges of an object, those that are wanted and parts of them."""
    if hasattr(storage, "open_file"):
        return LocalFile(storage_name, storage, key, size)
    of_one_version: Any = getattr(storage, "aranges", None)
    etag = None if info is None else info.etag
    ranges: Any = None if of_one_version is None else of_one_version(key, etag, size)
    is_obstore = ranges is not None
    if not is_obstore:

        def streamed(start: int, end: int) -> Any:
            return IN_LOOP.items(storage, "stream", key, start, one_more(end, size))

        is_one_request = info is None and len(wanted) == 1 and wanted[0].size <= WHOLE
        ranges = streamed if is_one_request else _Compared(storage, key, streamed, info, size)
    in_time = partial(chunks_in_time, storage_name, key, ranges, can_be_cancelled=is_obstore)
    return nullcontext(partial(within_budget, storage_name, in_time))


def one_more(end: int, size: int | None) -> int:
    """Return the end of a range to request: one byte more at the end shows a longer object."""
    return end + 1 if end == size else end


class _Compared:
    """Compares what the storage tells about the object before the first range and in each other."""

    def __init__(
        self, storage: Any, key: str, ranges: Ranges, info: ObjectInfo | None, size: int | None
    ) -> None:
        self._storage, self._key, self._ranges, self._size = storage, key, ranges, size
        self._known: Version | None = None if info is None else version_of(info)

    async def __call__(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        is_checked = self._known is None
        if self._known is None:
            self._known = version_of(await self._stat())
        async with aclosing(self._ranges(start, end)) as chunks:
            async for chunk in chunks:
                if not is_checked:
                    require_version(self._known, await self._stat())
                    is_checked = True
                yield chunk
                del chunk  # it is not kept while the next one is waited for

    async def _stat(self) -> ObjectInfo:
        found: ObjectInfo = await IN_LOOP.call(self._storage, "stat", self._key)
        require_size(found.size, self._size, self._key)
        return found


Version = tuple[object, ...]


def version_of(info: ObjectInfo) -> Version:
    """Return what tells one version of an object from another."""
    return info.etag, info.last_modified, info.size


def require_version(known: Version, found: ObjectInfo) -> None:
    """Raise `StorageError` if an object was replaced."""
    if version_of(found) != known:
        raise StorageError("the object was replaced while it was read", key=found.key)
