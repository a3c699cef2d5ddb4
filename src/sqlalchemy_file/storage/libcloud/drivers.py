"""Drivers of libcloud: one for each thread, and how they store, read and describe an object.

Drivers are not thread-safe: threads that share one for S3 can get the bytes of another object.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, ClassVar, cast
from weakref import WeakKeyDictionary

from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container, Object, StorageDriver
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from requests import Response
from requests.utils import get_environ_proxies

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


class Clones:
    """A clone of the driver for each thread and process."""

    def __init__(self, container: Container, *, timeout: float | None = None) -> None:
        # Cloned at once, since another driver's constructor may write its host on the class.
        cloned = clone(container.driver)
        if timeout is not None:
            cloned.connection.timeout = timeout  # clones connect with it
        self._template = Container(container.name, container.extra, cloned)
        self._local = threading.local()

    @contextmanager
    def container(self) -> Iterator[Container]:
        if getattr(self._local, "process", None) != os.getpid():
            driver = clone(self._template.driver)
            self._local.container = Container(self._template.name, self._template.extra, driver)
            self._local.process = os.getpid()
        yield self._local.container


class Shared:
    """A driver that cannot be cloned, for one thread at a time.

    Drivers without a connection, such as libcloud's Dummy, may hold the objects themselves.
    """

    _locks: ClassVar[WeakKeyDictionary[StorageDriver, Any]] = WeakKeyDictionary()
    _guard: ClassVar = threading.Lock()

    def __init__(self, container: Container) -> None:
        self._container = container
        with self._guard:
            self._lock = self._locks.setdefault(container.driver, threading.RLock())

    @contextmanager
    def container(self) -> Iterator[Container]:
        with self._lock:
            yield self._container


def drivers_for(container: Container, timeout: float | None = None) -> Clones | Shared:
    connection = getattr(container.driver, "connection", None)
    if getattr(connection, "connection", None) is None:
        return Shared(container)
    return Clones(container, timeout=timeout)


def clone(driver: StorageDriver) -> Any:
    """Return a copy of a driver with its own connection."""
    original: Any = driver
    cloned: Any = copy(driver)
    connection = cloned.connection = copy(original.connection)
    connection.driver = cloned
    connection.host = original.connection.host  # the class's host may change
    connection.context = {}
    # Drivers that cannot list a prefix warn and filter; the storage filters itself.
    cloned._filter_listed_container_objects = lambda objects, prefix: objects
    connection.connect()
    _carry_over(original.connection.connection, connection.connection)
    return cloned


def _carry_over(original: Any, cloned: Any) -> None:
    for name in ("ca_cert", "verify"):
        if hasattr(original, name):
            setattr(cloned, name, getattr(original, name))
    session = getattr(cloned, "session", None)
    if session is None:
        return
    # libcloud passes no timeout for streamed and raw requests: they could wait forever.
    if getattr(session, "timeout", None):
        session.send = partial(session.send, timeout=session.timeout)
    session.hooks["response"].append(_keep_encoded)
    # Each request would search the environment for proxies and the home for passwords.
    session.proxies = {**get_environ_proxies(cloned.host), **session.proxies}
    session.trust_env = False


def _keep_encoded(answer: Response, *, stream: bool = False, **_: object) -> None:
    """Read an object with ``Content-Encoding: gzip`` as it is stored.

    libcloud would decompress it, and sizes and ranges would be wrong. An answer that a proxy has
    compressed has no ``Content-Length``, and is still decompressed.
    """
    if stream and "Content-Length" in answer.headers:
        answer.raw.headers.pop("Content-Encoding", None)
