"""A libcloud driver for each thread.

Drivers are not thread-safe: threads that share one for S3 can get the bytes of another object.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from libcloud.storage.base import Container, StorageDriver
from requests import Response
from requests.utils import get_environ_proxies


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
        """Yield this thread's container."""
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
    cloned: Any = copy.copy(driver)
    connection = cloned.connection = copy.copy(original.connection)
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
