"""Uploads into an obstore store: in one request, or as a multipart upload.

Large uploads wait for their turn before the content is read. Content of unknown size is read up to
the limit of one request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from uuid_utils import uuid7

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.storage.common.attributes import (
    Names,
    checked_headers,
    header_value,
    meta_data_of,
    refuse_extra,
    to_headers,
)
from sqlalchemy_file.storage.common.calling import Translator
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import PART_SIZE, is_in_memory, size_left
from sqlalchemy_file.storage.obstore.client import READ_SIZE, Requests, Source
from sqlalchemy_file.storage.obstore.errors import is_unknown_there
from sqlalchemy_file.storage.obstore.requests import HEADERS, etag_of
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE, current_limits

_log = logging.getLogger("sqlalchemy_file.storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One content and its key. ``refuse_taken`` raises `ObjectExistsError`."""

    requests: Requests
    key: str
    content: BinaryIO
    attributes: Attributes
    translator: Translator
    exclusive: bool
    refuse_taken: Callable[[str], object]
    names: Names | None
    """The names of metadata that the store takes; None if it keeps no attributes."""
    has_conditions: bool
    """Whether all servers of this kind can create and rename under the condition of a free key.

    Some S3 servers ignore such conditions or do not know them, and none renames.
    """

    async def put(self) -> ObjectInfo:
        refuse_extra(self.attributes, self.key)
        options = self._options()
        size, begun = size_left(self.content), []
        if size is None or size <= PART_SIZE:
            first = READ_SIZE if size is None else PART_SIZE + 1
            begun = [await self._read(first)]
            if len(begun[0]) < first:
                return await self._small(begun, options)
        async with self.requests.turn():
            if size is None:
                begun.append(await self._read(PART_SIZE + 1 - READ_SIZE))
                if sum(map(len, begun)) <= PART_SIZE:
                    return await self._small(begun, options)
            return await self._large(begun, options)

    async def _read(self, size: int) -> bytes:
        read = partial(self.translator.read_full, self.content, size)
        return await self.requests.read(read, is_in_memory=is_in_memory(self.content))

    def _options(self) -> dict[str, Any]:
        if self.names is None:
            return {}
        return {"attributes": _sent(self.attributes, self.key, self.names)}

    @property
    def _looks(self) -> bool:
        """Whether the key is looked up, because there is no condition."""
        return self.exclusive and not self.has_conditions

    async def _look(self) -> None:
        if not self._looks:
            return
        try:
            await self.requests.request("get", self.key, options={"head": True})
        except FileNotFoundError:
            return
        raise ObjectExistsError(key=self.key)

    async def _small(self, begun: list[bytes], options: dict[str, Any]) -> ObjectInfo:
        await self._look()
        data = b"".join(begun)
        put = partial(self.requests.request, "put", self.key, data, **options)
        if not self.exclusive:  # nothing is deleted: the object may be another writer's
            return self._info(await put(mode="overwrite"), len(data))
        try:
            answer = await put(mode="create", undo=self._deletion)
        except Exception as error:
            if self.has_conditions or not is_unknown_there(error):
                raise
            answer = await put(mode="overwrite")
        return self._info(answer, len(data))

    async def _large(self, begun: list[bytes], options: dict[str, Any]) -> ObjectInfo:
        await self._look()
        at_end = partial(self.refuse_taken, self.key) if self._looks else None
        source = Source(begun, self.content, self.translator, at_end)
        begun.clear()  # sent chunks are not kept in memory
        options = {**options, **_parts(), "source": source}
        if self.exclusive and self.has_conditions:
            await self._create_by_renaming(options)
            return self._info(None, source.size)  # not all stores keep the etag when they rename
        undo = self._deletion if self._looks else None
        answer = await self.requests.request("put", self.key, undo=undo, **options)
        return self._info(answer, source.size)

    async def _create_by_renaming(self, options: dict[str, Any]) -> None:
        # obstore knows no condition for multipart uploads. After a crash the sweep deletes the
        # draft: its name is one that this library generates.
        folder, slash, _ = self.key.rpartition("/")
        draft = f"{folder}{slash}{uuid7()}"
        try:
            await self.requests.request("put", draft, **options)
            await self.requests.request(
                "rename", draft, self.key, overwrite=False, undo=self._deletion
            )
        except GeneratorExit:
            raise
        except BaseException:
            await self._take_back(draft)
            raise

    async def _take_back(self, draft: str) -> None:
        # The caller is to see the first error.
        try:
            await self.requests.request("delete", [draft])
        except FileNotFoundError:
            pass
        except Exception:  # noqa: BLE001
            _log.warning("the incomplete object %r stays in its storage", draft, exc_info=True)

    @property
    def _deletion(self) -> tuple[str, list[str]]:
        return "delete", [self.key]

    def _info(self, answer: Any, size: int) -> ObjectInfo:
        etag = None if answer is None else etag_of(answer["e_tag"])
        kept = Attributes() if self.names is None else self.attributes
        return ObjectInfo(key=self.key, size=size, etag=etag, attributes=kept)


def _parts() -> dict[str, Any]:
    limits = current_limits()
    at_once = min(limits.parts, limits.requests or limits.parts)
    return {"use_multipart": True, "chunk_size": PART_SIZE, "max_concurrency": at_once}


def _sent(attributes: Attributes, key: str, names: Names) -> dict[str, str]:
    own = {name.title(): value for name, value in checked_headers(attributes.headers, key).items()}
    unknown = sorted(own.keys() - set(HEADERS))
    if unknown:
        raise StorageError(
            f"obstore sends no header {unknown[0]!r}; it knows {', '.join(HEADERS)}", key=key
        )
    content_type = attributes.content_type or own.get("Content-Type") or UNKNOWN_TYPE
    return {
        **to_headers(meta_data_of(attributes), names),
        **own,
        "Content-Type": header_value(content_type),
    }
