"""Containers of libcloud's S3 and MinIO drivers, served through obstore."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies

from libcloud.common.aws import AWSRequestSignerAlgorithmV4
from libcloud.http import LibcloudConnection
from libcloud.storage.base import Container
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from obstore.exceptions import BaseError
from obstore.store import S3Store
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

from sqlalchemy_file.exceptions import DeletionError, InvalidKeyError, StorageError
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.retrying import FIRST_PAUSE, LONGEST_PAUSE, MAX_RETRIES, WITHIN
from sqlalchemy_file.storage.libcloud import LibcloudStorage
from sqlalchemy_file.storage.libcloud.drivers import TRANSFERS
from sqlalchemy_file.storage.obstore import ObstoreStorage
from sqlalchemy_file.storage.obstore.answers import answered_by_s3
from sqlalchemy_file.storage.obstore.errors import has_unreadable_headers, is_unknown_there
from sqlalchemy_file.storage.obstore.requests import HEADERS
from sqlalchemy_file.storage.obstore.storage import CONCURRENCY
from sqlalchemy_file.transfer import in_thread

_HOOKS = frozenset(
    {"request", "pre_connect_hook", "add_default_headers", "add_default_params", "encode_data"}
)
_LONGEST_REQUEST = timedelta(hours=1)  # its body included: objects may be large

_log = logging.getLogger("sqlalchemy_file.storage")


class S3ContainerStorage(LibcloudStorage):
    """A container of one of libcloud's own S3 drivers, from threads and from coroutines.

    Requests go through an obstore store that is made from the driver's settings. What obstore
    cannot carry goes through libcloud's methods: options of the driver such as ``acl``, headers
    that obstore does not send, or cannot read, keys that it does not list, requests that a server
    does not know, and everything in a process that was forked after obstore was first used.

    The options are those of `LibcloudStorage`.
    """

    def __init__(
        self,
        container: Container,
        *,
        timeout: float | None = None,
        max_retries: int = MAX_RETRIES,
        concurrency: int | None = None,
        verify: bool = False,
    ) -> None:
        super().__init__(
            container,
            timeout=timeout,
            max_retries=max_retries,
            concurrency=CONCURRENCY if concurrency is None else concurrency,
            verify=verify,
        )
        self._bucket = _bucket_of(container, timeout, max_retries)
        driver: Any = container.driver
        self._secret: str | None = driver.connection.key

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        bucket = self._carrier_of(attributes)
        if bucket is None:
            return super().put(key, content, attributes, exclusive=exclusive)
        return bucket.put(key, content, attributes, exclusive=exclusive)

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        bucket = self._carrier_of(attributes)
        if bucket is None:
            put = partial(super().put, key, content, attributes, exclusive=exclusive)
            return await in_thread(put)
        return await bucket.aput(key, content, attributes, exclusive=exclusive)

    def stat(self, key: str) -> ObjectInfo:
        if bucket := self._carrier:
            with _left_to_libcloud(has_unreadable_headers):
                return bucket.stat(key)
        return super().stat(key)

    async def astat(self, key: str) -> ObjectInfo:
        if bucket := self._carrier:
            with _left_to_libcloud(has_unreadable_headers):
                return await bucket.astat(key)
        return await in_thread(partial(super().stat, key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if bucket := self._carrier:
            with _left_to_libcloud(has_unreadable_headers):
                yield from bucket.stream(key, start, end)
                return
        yield from super().stream(key, start, end)

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        if bucket := self._carrier:
            with _left_to_libcloud(has_unreadable_headers):
                async for chunk in bucket.astream(key, start, end):
                    yield chunk
                return
        async for chunk in _in_threads(super().stream(key, start, end)):
            yield chunk

    def delete(self, keys: Sequence[str]) -> None:
        if bucket := self._carrier:
            try:
                bucket.delete(keys)
            except DeletionError as error:
                self._delete_one_by_one(error)
        else:
            super().delete(keys)

    async def adelete(self, keys: Sequence[str]) -> None:
        if bucket := self._carrier:
            try:
                await bucket.adelete(keys)
            except DeletionError as error:
                await in_thread(partial(self._delete_one_by_one, error))
        else:
            await in_thread(partial(super().delete, keys))

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        if bucket := self._carrier:
            with _left_to_libcloud(is_unknown_there, has_unreadable_headers):
                return bucket.copy(key, new_key)
        return super().copy(key, new_key)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        if bucket := self._carrier:
            with _left_to_libcloud(is_unknown_there, has_unreadable_headers):
                return await bucket.acopy(key, new_key)
        return await in_thread(partial(super().copy, key, new_key))

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        if bucket := self._carrier:
            with _left_to_libcloud(_is_of_key):
                for info in bucket.list(prefix, start_after):
                    start_after = info.key
                    yield info
                return
        yield from super().list(prefix, start_after)

    async def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        if bucket := self._carrier:
            with _left_to_libcloud(_is_of_key):
                async for info in bucket.alist(prefix, start_after):
                    start_after = info.key
                    yield info
                return
        async for info in _in_threads(super().list(prefix, start_after)):
            yield info

    @property
    def lists_from_key(self) -> bool:
        """Whether listing from a key spares listing what comes before it."""
        return self._carrier is not None

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        """Return a presigned URL, as `ObstoreStorage` does."""
        bucket = self._carrier
        return None if bucket is None else bucket.signed_url(key, expires=expires, method=method)

    def signed_download(
        self, key: str, *, expires: timedelta | float, content_type: str, disposition: str
    ) -> str | None:
        """Return a presigned URL of a download, as `ObstoreStorage` does."""
        url = self.signed_url(key, expires=expires)
        if url is None:
            return None
        secret = self._secret
        return answered_by_s3(url, [secret] if secret else [], content_type, disposition)

    @property
    def _carrier(self) -> ObstoreStorage | None:
        return None if self._bucket is None or self._bucket.is_forked else self._bucket

    def _carrier_of(self, attributes: Attributes) -> ObstoreStorage | None:
        """Return the storage through obstore if it can store an object with these attributes."""
        if attributes.extra or any(name.title() not in HEADERS for name in attributes.headers):
            return None
        return self._carrier

    def _delete_one_by_one(self, error: DeletionError) -> None:
        """Delete what a server could not delete because it does not know DeleteObjects."""
        refused = [key for key, each in error.failures.items() if is_unknown_there(each)]
        if not refused:
            raise error
        failures = {key: each for key, each in error.failures.items() if key not in refused}
        try:
            super().delete(refused)
        except DeletionError as others:
            failures.update(others.failures)
        if failures:
            raise DeletionError(failures) from error


@contextmanager
def _left_to_libcloud(*refusals: Callable[[Exception], bool]) -> Iterator[None]:
    """End quietly at an error of these kinds: what follows does the same by libcloud's methods."""
    try:
        yield
    except StorageError as error:
        if not any(is_one(error) for is_one in refusals):
            raise


def _is_of_key(error: Exception) -> bool:
    """Return True if obstore takes no key of an object that is listed, such as ``a//b``."""
    return isinstance(error, InvalidKeyError)


def is_carried(container: Container) -> bool:
    """Return True if obstore can do what a container's driver does.

    The driver has to be one of libcloud's own that signs by version 4, in its own way: a program
    that changed how its driver stores or signs wants that to happen.
    """
    driver: Any = container.driver
    connection: Any = getattr(driver, "connection", None)
    return (
        isinstance(driver, BaseS3StorageDriver)
        and type(driver).__module__.startswith("libcloud.storage.drivers.")
        and type(connection).__module__.startswith("libcloud.")
        and vars(driver).keys().isdisjoint(TRANSFERS)
        and vars(connection).keys().isdisjoint(_HOOKS)
        and driver.http_vendor_prefix == "x-amz"
        and driver.supports_s3_multipart_upload
        and isinstance(getattr(connection, "signer", None), AWSRequestSignerAlgorithmV4)
        and type(connection.connection) is LibcloudConnection
        and not connection.request_path
        and not hasattr(connection, "cert_file")
    )


def _bucket_of(
    container: Container, timeout: float | None, max_retries: int
) -> ObstoreStorage | None:
    """Return a storage through obstore; None where a setting has no counterpart there."""
    driver: Any = container.driver
    connection = driver.connection
    credentials = {
        "access_key_id": connection.user_id,
        "secret_access_key": connection.key,
        "token": connection.token,
        "expires_at": None,
    }
    retries: dict[str, Any] = {
        "retry_timeout": timedelta(seconds=WITHIN),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE),
            "base": 2,
        },
    }
    try:
        client = _client_options(connection, timeout)
        store, once = (
            S3Store(
                container.name,
                config=_config_of(driver),  # type: ignore[arg-type]
                client_options=client,  # type: ignore[arg-type]
                retry_config={**retries, "max_retries": most},  # type: ignore[arg-type]
                credential_provider=lambda: credentials,  # type: ignore[arg-type]
            )
            for most in (max_retries, 0)
        )
    except (BaseError, OSError, TypeError, ValueError) as error:
        # Without the error's words: they may repeat a secret.
        _log.warning(
            "the container %r is served without obstore, which does not take its settings (%s)",
            container.name,
            type(error).__name__,
        )
        return None
    return ObstoreStorage(store, once=once)


def _config_of(driver: Any) -> dict[str, Any]:
    """Return all settings that obstore would otherwise take from the environment."""
    endpoint = driver.connection.connection.host  # with its scheme and port
    return {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": driver.region_name or "",  # what the driver signs, an empty one included
        "conditional_put": "etag",
        "unsigned_payload": False,
        "virtual_hosted_style_request": False,
        "skip_signature": False,
        "s3_express": False,
        "request_payer": False,
    }


def _client_options(connection: Any, timeout: float | None) -> dict[str, Any]:
    inner = connection.connection
    silence = timedelta(seconds=timeout or inner.session.timeout)
    options: dict[str, Any] = {
        "connect_timeout": silence,
        "read_timeout": silence,
        "timeout": max(_LONGEST_REQUEST, silence),
        "allow_http": inner.host.startswith("http://"),
    }
    options |= _proxy_options(connection)
    if inner.ca_cert:
        options["root_certificate"] = Path(inner.ca_cert).read_bytes()
    elif not inner.verify:
        options["allow_invalid_certificates"] = True
    return options


def _proxy_options(connection: Any) -> dict[str, str]:
    """Return the driver's proxy, or what libcloud takes from the environment for this host.

    Left to itself, obstore reads the environment otherwise: it knows no ports in ``NO_PROXY``.
    """
    endpoint = connection.connection.host
    proxy = connection.proxy_url or select_proxy(endpoint, get_environ_proxies(endpoint))
    if proxy:
        return {"proxy_url": prepend_scheme_if_needed(proxy, "http")}
    if getproxies().keys() - {"no"}:  # not for this host: so obstore has one that it never uses
        return {"proxy_url": endpoint, "proxy_excludes": urlsplit(endpoint).hostname or ""}
    return {}


async def _in_threads(items: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await in_thread(partial(next, items, None))) is not None:
        yield item
