"""The storage methods for any libcloud driver, with libcloud's public methods only."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain
from operator import attrgetter
from time import sleep
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote

from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container, Object
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from libcloud.storage.types import ObjectDoesNotExistError
from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout  # noqa: A004

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.storage.common.attributes import (
    attributes_from,
    checked_headers,
    from_headers,
    header_value,
    meta_data_of,
    to_headers,
)
from sqlalchemy_file.storage.common.errors import Translator
from sqlalchemy_file.storage.common.metadata_names import HEADERS, IDENTIFIERS, blob_headers
from sqlalchemy_file.storage.common.protocol import (
    CHUNK_SIZE,
    Attributes,
    ObjectInfo,
    PendingUpload,
)
from sqlalchemy_file.storage.common.retrying import MAX_RETRIES, OVERLOADED, pauses
from sqlalchemy_file.storage.common.sorting import in_order
from sqlalchemy_file.storage.common.streams import closing_on_error, cut, new_spool
from sqlalchemy_file.storage.libcloud.clones import Shared, drivers_for
from sqlalchemy_file.support.escaping import escaped

T = TypeVar("T")

_STATUS = re.compile(r"(?i)(?:status|code|error|http)\D{0,12}\b([1-5]\d\d)\b")
_DELETED = frozenset({200, 204, 404})
_REFUSALS = frozenset({"400", "405", "415", "422", "431", "501"})

_log = logging.getLogger("sqlalchemy_file.storage")

TRANSFERS = (
    "upload_object",
    "upload_object_via_stream",
    "download_object_as_stream",
    "get_object",
    "delete_object",
)
"""Methods of a driver by which a program may change what is stored, to encrypt it, say."""


class DriverVerbs:
    """The verbs of a storage over one container; libcloud's errors are left as they are."""

    def __init__(self, container: Container, timeout: float | None, max_retries: int) -> None:
        self._drivers = drivers_for(container, timeout)
        self._is_azure = isinstance(container.driver, AzureBlobsStorageDriver)
        self._is_s3 = isinstance(container.driver, BaseS3StorageDriver)
        self._max_retries = max_retries if self._is_s3 else 0
        self._names = IDENTIFIERS if self._is_azure else HEADERS

    def put(
        self,
        key: str,
        content: BinaryIO,
        attributes: Attributes,
        translator: Translator,
        exclusive: bool,
    ) -> ObjectInfo:
        def upload(container: Container) -> tuple[Object, Attributes]:
            return self._upload(container, key, spool, attributes)

        with _spooled(content, translator) as (spool, size):
            # Two writers of one key at the same moment may both pass: libcloud has no condition.
            if exclusive and self._repeated(partial(_exists, key=key)):
                raise ObjectExistsError(key=key)
            stored, kept = self._repeated(upload, times=0 if exclusive else self._max_retries)
        return ObjectInfo(key=key, size=size, etag=stored.hash or None, attributes=kept)

    def stat(self, key: str) -> ObjectInfo:
        return self._repeated(lambda container: self._info(container.get_object(key)))

    def stream(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        is_shared = isinstance(self._drivers, Shared)

        def begin(container: Container) -> Iterator[bytes]:
            found = container.get_object(key)
            last = found.size if end is None else min(end, found.size)
            chunks = self._read(found, start, last) if start < last else iter(())
            # A driver that is shared is free for others while its bytes are consumed.
            return _chunks_of(_spool(chunks)) if is_shared else chunks

        yield from filter(None, self._repeated(begin))

    def delete(self, keys: Sequence[str], failures: dict[str, Exception]) -> None:
        for key in keys:
            try:
                with suppress(ObjectDoesNotExistError):
                    self._repeated(partial(_delete, key=key))
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                failures[key] = error

    def list(self, prefix: str, start_after: str | None) -> Iterator[ObjectInfo]:
        # A driver that is no clone may warn that it cannot ask for a prefix.
        asked = None if isinstance(self._drivers, Shared) else prefix or None

        def read(container: Container) -> Iterator[ObjectInfo]:
            found = (
                self._info(entry)
                for entry in container.iterate_objects(prefix=asked)
                if entry.name.startswith(prefix) and entry.name > (start_after or "")
            )
            return in_order(found, attrgetter("key"))

        # libcloud promises no order, so that all keys have to be read to yield the first.
        yield from self._repeated(read)

    def uploads(self) -> Iterator[PendingUpload]:
        """Yield the multipart uploads that were begun and never completed; of S3 alone."""
        if not self._is_s3:
            return
        with self._drivers.container() as container:
            driver: Any = container.driver
            for upload in driver.ex_iterate_multipart_uploads(container):
                begun_at = datetime.fromisoformat(upload.created_at)
                yield PendingUpload(key=upload.key, id=upload.id, begun_at=begun_at)

    def abort(self, upload: PendingUpload) -> None:
        with self._drivers.container() as container:
            driver: Any = container.driver
            # The driver's own method aborts whatever else was begun under a key with this prefix.
            path = f"/{container.name}/{quote(upload.key, safe='/~')}"
            answer = driver.connection.request(
                path, method="DELETE", params={"uploadId": upload.id}
            )
            if answer.status not in _DELETED:
                raise StorageError(f"the storage answered {answer.status}", key=upload.key)

    def driver_object(self, key: str) -> Object:
        def look(container: Container) -> Object:
            found = container.get_object(key)
            return _described(found, self._info(found).attributes)

        return self._repeated(look)

    def _repeated(self, action: Callable[[Container], T], times: int | None = None) -> T:
        """Retry an idempotent operation if the server was overloaded or did not answer."""
        waits = pauses(self._max_retries if times is None else times)
        while True:
            try:
                with self._drivers.container() as container:
                    return action(container)
            except Exception as error:
                pause = next(waits, None) if _may_pass(error) else None
                if pause is None:
                    raise
            sleep(pause)

    def _upload(
        self, container: Container, key: str, spool: BinaryIO, attributes: Attributes
    ) -> tuple[Object, Attributes]:
        """Return the size in the storage, and the attributes that are kept."""
        extra = dict(attributes.extra)
        if attributes.content_type:
            extra["content_type"] = header_value(attributes.content_type)
        headers = checked_headers(attributes.headers, key)
        if self._is_s3:  # signed under two spellings, a request is refused
            declared = [name for name in headers if name.lower() == "content-type"]
            own = [headers.pop(name) for name in declared]
            extra = {**extra, "content_type": extra.get("content_type") or own[0]} if own else extra
        headers = blob_headers(headers) if self._is_azure else headers
        options = {"headers": headers} if headers else {}
        meta_data = to_headers(meta_data_of(attributes), self._names)
        if not meta_data:
            return _upload_stream(container, key, spool, extra, options), attributes
        try:
            described = {**extra, "meta_data": meta_data}
            return _upload_stream(container, key, spool, described, options), attributes
        except (LibcloudError, NotImplementedError) as error:
            if not _may_be_about_metadata(error):
                raise
            # Some storages know no metadata, or not these names: better stored without.
            try:
                stored = _upload_stream(container, key, spool, extra, options)
            except Exception:  # noqa: BLE001  the first refusal says more
                raise error from None
            _log.warning("%r is stored without its name and metadata: %s", key, escaped(error))
            return stored, replace(attributes, filename=None, metadata={})

    def _read(self, found: Object, start: int, end: int) -> Iterator[bytes]:
        """Yield at least the bytes from ``start`` to ``end``, which are within the object."""
        if start == 0 and end == found.size:
            return found.as_stream(CHUNK_SIZE)
        with suppress(NotImplementedError):
            chunks = found.range_as_stream(start, end, CHUNK_SIZE)
            # Whether it is implemented shows at the first chunk where it is a generator.
            return chain([next(chunks, b"")], chunks)
        return cut(found.as_stream(CHUNK_SIZE), start, end)

    def _info(self, found: Object) -> ObjectInfo:
        return _info_of(found)


class DummyVerbs(DriverVerbs):
    """The verbs for libcloud's Dummy driver, whose objects keep no bytes: here they do."""

    def _upload(
        self, container: Container, key: str, spool: BinaryIO, attributes: Attributes
    ) -> tuple[Object, Attributes]:
        data = spool.read()
        extra = {**attributes.extra, "meta_data": to_headers(meta_data_of(attributes))}
        if attributes.content_type:
            extra["content_type"] = attributes.content_type
        stored: Any = container.upload_object_via_stream(cast("Any", data), key, extra=extra)
        stored.content = data
        return cast("Object", stored), attributes

    def _read(self, found: Object, start: int, end: int) -> Iterator[bytes]:
        if not hasattr(found, "content"):
            raise StorageError(
                "libcloud's Dummy driver keeps no bytes, and this object was not stored through "
                "this library",
                key=found.name,
            )
        return iter([found.content[start:end]])

    def _info(self, found: Object) -> ObjectInfo:
        meta_data = {name: value for name, value in found.meta_data.items() if name != "cdn_url"}
        return _info_of(found, meta_data)


def verbs_for(
    container: Container, timeout: float | None = None, max_retries: int = MAX_RETRIES
) -> DriverVerbs:
    dummy = isinstance(container.driver, DummyStorageDriver)
    return (DummyVerbs if dummy else DriverVerbs)(container, timeout, max_retries)


def _may_pass(error: Exception) -> bool:
    """Return True if the same request may succeed a moment later."""
    if isinstance(error, LibcloudError):
        return any(int(status) in OVERLOADED for status in _STATUS.findall(str(error)))
    return isinstance(error, ChunkedEncodingError | ConnectionError | Timeout)


def _may_be_about_metadata(error: Exception) -> bool:
    """Return True if a refusal may be one of the metadata, rather than of any request at all.

    libcloud's drivers tell a status in their message only.
    """
    statuses = _STATUS.findall(str(error))
    return all(status in _REFUSALS for status in statuses)


@contextmanager
def _spooled(content: BinaryIO, translator: Translator) -> Iterator[tuple[BinaryIO, int]]:
    """Copy the content where it can be read again, so that it cannot fail half-way through.

    One that can seek, too: libcloud reads what it sends once more, for a hash of its own, and may
    close it, while the content is measured by being read once.
    """
    with _spool(iter(lambda: translator.read(content, CHUNK_SIZE), b"")) as spool:
        size = spool.seek(0, 2)
        spool.seek(0)
        yield spool, size


def _spool(chunks: Iterator[bytes]) -> BinaryIO:
    with closing_on_error(new_spool()) as spool:
        for chunk in chunks:  # not writelines(), which goes to the disk at its end
            spool.write(chunk)
        spool.seek(0)
    return spool


def _described(found: Object, attributes: Attributes) -> Object:
    """Return a libcloud object of our own, with its metadata as they were before they travelled."""
    twin = copy(found)
    twin.meta_data = meta_data_of(attributes)
    return twin


def _upload_stream(
    container: Container, key: str, spool: BinaryIO, extra: dict[str, Any], options: dict[str, Any]
) -> Object:
    spool.seek(0)
    return container.upload_object_via_stream(spool, key, extra=extra, **options)


def _chunks_of(spool: BinaryIO) -> Iterator[bytes]:
    with spool:
        yield from iter(lambda: spool.read(CHUNK_SIZE), b"")


def _delete(container: Container, key: str) -> None:
    # A driver may say False for what is neither a success nor a missing object.
    if container.get_object(key).delete() is False and _exists(container, key):
        raise StorageError("the storage did not delete the object", key=key)


def _exists(container: Container, key: str) -> bool:
    try:
        container.get_object(key)
    except ObjectDoesNotExistError:
        return False
    return True


def _info_of(found: Object, meta_data: dict[str, Any] | None = None) -> ObjectInfo:
    kept = found.meta_data if meta_data is None else meta_data
    return ObjectInfo(
        key=found.name,
        size=int(found.size),
        last_modified=_date(found.extra.get("last_modified")),
        etag=found.hash or None,
        attributes=attributes_from(from_headers(kept), found.extra.get("content_type")),
    )


def _date(value: Any) -> datetime | None:
    """Return a date as drivers tell it: after HTTP, after ISO 8601, or not at all."""
    if isinstance(value, datetime):
        return value
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(TypeError, ValueError):
            date = parse(value)
            return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None
