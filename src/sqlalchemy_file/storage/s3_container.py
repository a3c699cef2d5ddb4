"""Containers of libcloud's S3 and MinIO drivers, served through obstore."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
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

from sqlalchemy_file.storage.common.calling import (
    FIRST_PAUSE,
    IN_LOOP,
    LONGEST_PAUSE,
    MAX_RETRIES,
    WITHIN,
)
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.libcloud import LibcloudStorage
from sqlalchemy_file.storage.libcloud.drivers import TRANSFERS
from sqlalchemy_file.storage.obstore import ObstoreStorage
from sqlalchemy_file.storage.obstore.requests import HEADERS
from sqlalchemy_file.support.defaults import BUCKET_CONCURRENCY

_HOOKS = frozenset(
    {"request", "pre_connect_hook", "add_default_headers", "add_default_params", "encode_data"}
)
_LONGEST_REQUEST = timedelta(hours=1)  # with its body

_log = logging.getLogger("sqlalchemy_file.storage")


class S3ContainerStorage(LibcloudStorage):
    """A container of one of libcloud's own S3 drivers, from threads and from coroutines.

    Requests go through an obstore store that is made from the driver's settings. Libcloud's methods
    are used for options of the driver such as ``acl``, for headers that obstore does not send, and
    for everything in a process that was forked after obstore was first used.

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
            concurrency=BUCKET_CONCURRENCY if concurrency is None else concurrency,
            verify=verify,
        )
        self._plain = LibcloudStorage(container, timeout=timeout, max_retries=max_retries)
        self._bucket = _bucket_of(container, timeout, max_retries)

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        through = self._through_for(attributes)
        return through.put(key, content, attributes, exclusive=exclusive)

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        put = partial(IN_LOOP.call, self._through_for(attributes), "put")
        stored: ObjectInfo = await put(key, content, attributes, exclusive=exclusive)
        return stored

    def stat(self, key: str) -> ObjectInfo:
        return self._through.stat(key)

    async def astat(self, key: str) -> ObjectInfo:
        found: ObjectInfo = await IN_LOOP.call(self._through, "stat", key)
        return found

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return self._through.stream(key, start, end)

    def astream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return IN_LOOP.items(self._through, "stream", key, start, end)

    def ranges(
        self, key: str, etag: str | None = None, size: int | None = None
    ) -> Callable[[int, int | None], Iterator[bytes]] | None:
        return None if self._carrier is None else self._carrier.ranges(key, etag, size)

    def aranges(
        self, key: str, etag: str | None = None, size: int | None = None
    ) -> Callable[[int, int | None], AsyncIterator[bytes]] | None:
        return None if self._carrier is None else self._carrier.aranges(key, etag, size)

    def delete(self, keys: Sequence[str]) -> None:
        self._through.delete(keys)

    async def adelete(self, keys: Sequence[str]) -> None:
        await IN_LOOP.call(self._through, "delete", keys)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        return self._through.copy(key, new_key)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        copied: ObjectInfo = await IN_LOOP.call(self._through, "copy", key, new_key)
        return copied

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        return self._through.list(prefix, start_after)

    def alist(self, prefix: str = "", start_after: str | None = None) -> AsyncIterator[ObjectInfo]:
        return IN_LOOP.items(self._through, "list", prefix, start_after)

    @property
    def lists_from_key(self) -> bool:
        return self._carrier is not None

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        bucket = self._carrier
        return None if bucket is None else bucket.signed_url(key, expires=expires, method=method)

    def signed_download(
        self, key: str, *, expires: timedelta | float, content_type: str, disposition: str
    ) -> str | None:
        answer = {"content_type": content_type, "disposition": disposition}
        bucket = self._carrier
        return None if bucket is None else bucket.signed_download(key, expires=expires, **answer)

    @property
    def _through(self) -> ObstoreStorage | LibcloudStorage:
        """The storage that serves requests in this process."""
        return self._carrier or self._plain

    @property
    def _carrier(self) -> ObstoreStorage | None:
        return None if self._bucket is None or self._bucket.is_forked else self._bucket

    def _through_for(self, attributes: Attributes) -> ObstoreStorage | LibcloudStorage:
        """Return the storage that can store an object with these attributes."""
        if attributes.extra or any(name.title() not in HEADERS for name in attributes.headers):
            return self._plain
        return self._through


def is_carried(container: Container) -> bool:
    """Return True for an unchanged driver of libcloud that signs by version 4.

    If a program changed how its driver stores or signs, libcloud is used.
    """
    driver: Any = container.driver
    connection: Any = getattr(driver, "connection", None)
    return _is_unchanged(driver, connection) and _signs_by_4(driver, connection)


def _is_unchanged(driver: Any, connection: Any) -> bool:
    return (
        isinstance(driver, BaseS3StorageDriver)
        and type(driver).__module__.startswith("libcloud.storage.drivers.")
        and type(connection).__module__.startswith("libcloud.")
        and vars(driver).keys().isdisjoint(TRANSFERS)
        and vars(connection).keys().isdisjoint(_HOOKS)
        and type(connection.connection) is LibcloudConnection
    )


def _signs_by_4(driver: Any, connection: Any) -> bool:
    return (
        driver.http_vendor_prefix == "x-amz"
        and driver.supports_s3_multipart_upload
        and isinstance(getattr(connection, "signer", None), AWSRequestSignerAlgorithmV4)
        and not connection.request_path
        and not hasattr(connection, "cert_file")
    )


class _Credentials:
    """A driver's own credentials; without a provider, obstore reads the environment."""

    def __init__(self, connection: Any) -> None:
        self.secret: str | None = connection.key
        self._user, self._token = connection.user_id, connection.token

    def __call__(self) -> dict[str, Any]:
        keys = {"access_key_id": self._user, "secret_access_key": self.secret}
        return {**keys, "token": self._token, "expires_at": None}


def _bucket_of(
    container: Container, timeout: float | None, max_retries: int
) -> ObstoreStorage | None:
    """Return a storage through obstore, or None if it does not take a setting."""
    driver: Any = container.driver
    credentials = _Credentials(driver.connection)
    retries: dict[str, Any] = {
        "retry_timeout": timedelta(seconds=WITHIN),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE),
            "base": 2,
        },
    }
    try:
        client = _client_options(driver.connection, timeout)
        store, once = (
            S3Store(
                container.name,
                config=_config_of(driver),  # type: ignore[arg-type]
                client_options=client,  # type: ignore[arg-type]
                retry_config={**retries, "max_retries": most},  # type: ignore[arg-type]
                credential_provider=credentials,  # type: ignore[arg-type]
            )
            for most in (max_retries, 0)
        )
    except (BaseError, OSError, TypeError, ValueError) as error:
        # The message may repeat a secret.
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
    """Return the driver's proxy, or the one that libcloud takes from the environment.

    obstore reads the environment differently: it does not know ports in ``NO_PROXY``.
    """
    endpoint = connection.connection.host
    proxy = connection.proxy_url or select_proxy(endpoint, get_environ_proxies(endpoint))
    if proxy:
        return {"proxy_url": prepend_scheme_if_needed(proxy, "http")}
    if getproxies().keys() - {"no"}:  # obstore gets a proxy that it never uses
        return {"proxy_url": endpoint, "proxy_excludes": urlsplit(endpoint).hostname or ""}
    return {}
