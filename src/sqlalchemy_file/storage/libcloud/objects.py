"""Store, read and describe one object, by public methods of libcloud's drivers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO, cast

from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container, Object
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver

from sqlalchemy_file.exceptions import StorageError, escaped
from sqlalchemy_file.storage.common.attributes import (
    HEADERS,
    IDENTIFIERS,
    attributes_from,
    blob_headers,
    checked_headers,
    date_of,
    from_headers,
    header_value,
    meta_data_of,
    to_headers,
)
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE, Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import cut

STATUS = re.compile(r"(?i)(?:status|code|error|http)\D{0,12}\b([1-5]\d\d)\b")
"""A status in a driver's message, the only place where drivers report it."""
# Statuses of requests whose metadata may be refused.
_REFUSALS = frozenset({"400", "405", "415", "422", "431", "501"})

_log = logging.getLogger("sqlalchemy_file.storage")

TRANSFERS = (
    "upload_object",
    "upload_object_via_stream",
    "download_object_as_stream",
    "get_object",
    "delete_object",
)
"""Methods that programs override to change what is stored, for encryption for example."""


class Objects:
    """Objects of any driver."""

    def __init__(self, driver: Any) -> None:
        self.is_s3: bool = isinstance(driver, BaseS3StorageDriver)
        self._is_azure = isinstance(driver, AzureBlobsStorageDriver)
        self._names = IDENTIFIERS if self._is_azure else HEADERS

    def upload(
        self, container: Container, key: str, spool: BinaryIO, attributes: Attributes
    ) -> tuple[Object, Attributes]:
        """Store a content, and return the object and the attributes that are kept."""

        def send(described: dict[str, Any]) -> Object:
            spool.seek(0)
            return container.upload_object_via_stream(spool, key, extra=described, **options)

        extra, options = self._options(key, attributes)
        meta_data = to_headers(meta_data_of(attributes), self._names)
        if not meta_data:
            return send(extra), attributes
        try:
            return send({**extra, "meta_data": meta_data}), attributes
        except (LibcloudError, NotImplementedError) as error:
            if not _REFUSALS.issuperset(STATUS.findall(str(error))):
                raise
            # Some storages do not know metadata, or not these names.
            try:
                stored = send(extra)
            except Exception:  # noqa: BLE001  the first error says more
                raise error from None
            _log.warning("%r is stored without its name and metadata: %s", key, escaped(error))
            return stored, replace(attributes, filename=None, metadata={})

    def read(self, found: Object, start: int, end: int) -> Iterator[bytes]:
        """Return at least the bytes from ``start`` to ``end``, which are within the object."""
        if start == 0 and end == found.size:
            return found.as_stream(CHUNK_SIZE)
        with suppress(NotImplementedError):
            chunks = found.range_as_stream(start, end, CHUNK_SIZE)
            # A generator raises NotImplementedError at its first chunk.
            return chain([next(chunks, b"")], chunks)
        return cut(found.as_stream(CHUNK_SIZE), start, end)

    def info(self, found: Object) -> ObjectInfo:
        return ObjectInfo(
            key=found.name,
            size=int(found.size),
            last_modified=date_of(found.extra.get("last_modified")),
            etag=found.hash or None,
            attributes=attributes_from(
                from_headers(found.meta_data), found.extra.get("content_type")
            ),
        )

    def _options(self, key: str, attributes: Attributes) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return ``extra`` and the further arguments of an upload."""
        extra, headers = dict(attributes.extra), checked_headers(attributes.headers, key)
        content_type = attributes.content_type and header_value(attributes.content_type)
        if self.is_s3:  # a header that is sent twice makes the signature invalid
            for name in [name for name in headers if name.lower() == "content-type"]:
                content_type = content_type or headers[name]
                del headers[name]
        if content_type:
            extra["content_type"] = content_type
        headers = blob_headers(headers) if self._is_azure else headers
        return extra, {"headers": headers} if headers else {}


class DummyObjects(Objects):
    """Objects of libcloud's Dummy driver, with their bytes, which the driver does not keep."""

    def upload(
        self, container: Container, key: str, spool: BinaryIO, attributes: Attributes
    ) -> tuple[Object, Attributes]:
        data = spool.read()
        extra = {**attributes.extra, "meta_data": to_headers(meta_data_of(attributes))}
        if attributes.content_type:
            extra["content_type"] = attributes.content_type
        stored: Any = container.upload_object_via_stream(cast("Any", data), key, extra=extra)
        stored.content = data
        return cast("Object", stored), attributes

    def read(self, found: Object, start: int, end: int) -> Iterator[bytes]:
        if not hasattr(found, "content"):
            raise StorageError(
                "libcloud's Dummy driver keeps no bytes, and this object was not stored through "
                "this library",
                key=found.name,
            )
        return iter([found.content[start:end]])

    def info(self, found: Object) -> ObjectInfo:
        described = copy(found)  # without what the driver adds; a program's own name is escaped
        described.meta_data = {
            name: value for name, value in found.meta_data.items() if name != "cdn_url"
        }
        return super().info(described)


def transfers_as_libcloud(driver: Any) -> bool:
    """Return False if a program has overridden one of the driver's `TRANSFERS`."""
    modules = (str(getattr(getattr(driver, name), "__module__", "")) for name in TRANSFERS)
    return all(module.startswith("libcloud.") for module in modules)


def objects_of(driver: Any) -> Objects:
    return DummyObjects(driver) if isinstance(driver, DummyStorageDriver) else Objects(driver)
