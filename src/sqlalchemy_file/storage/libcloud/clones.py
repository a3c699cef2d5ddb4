"""A libcloud driver for each thread: drivers and connections are not thread-safe.

Threads that share an S3 driver can get the bytes of another object.
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
    """A clone of the driver for each thread and process, made at its first use."""

    def __init__(self, container: Container, *, timeout: float | None = None) -> None:
        # Cloned at once, since another driver's constructor may write its host on the class.
        cloned = clone(container.driver)
        if timeout is not None:
            cloned.connection.timeout = timeout  # clones connect with it
        self._template = Container(container.name, container.extra, cloned)
        self._local = threading.local()

    @contextmanager
    def container(self) -> Iterator[Container]:
        """Yield this thread's container; a forked child gets connections of its own."""
        if getattr(self._local, "process", None) != os.getpid():
            driver = clone(self._template.driver)
            self._local.container = Container(self._template.name, self._template.extra, driver)
            self._local.process = os.getpid()
        yield self._local.container


class Shared:
    """The driver itself, for one thread at a time.

    For drivers that cannot be cloned: those without a connection, such as libcloud's Dummy, may
    keep their objects in themselves.
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
    """Return clones where the driver can be cloned, else the driver behind a lock."""
    connection = getattr(container.driver, "connection", None)
    if getattr(connection, "connection", None) is None:
        return Shared(container)
    return Clones(container, timeout=timeout)


def clone(driver: StorageDriver) -> Any:
    """Return a copy of a driver with a connection of its own, not yet connected to anything."""
    original: Any = driver
    cloned: Any = copy.copy(driver)
    connection = cloned.connection = copy.copy(original.connection)
    connection.driver = cloned
    connection.host = original.connection.host  # else it may be the class's, which changes
    connection.context = {}
    # Drivers that cannot ask for a prefix warn of it, and filter; the callers of this filter too.
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
    # libcloud forgets the timeout for streamed and raw requests: they would wait forever.
    if getattr(session, "timeout", None):
        session.send = partial(session.send, timeout=session.timeout)
    session.hooks["response"].append(_keep_encoded)
    # Else the environment is searched for proxies, and the home for passwords, at each request,
    # which costs a fifth of it.
    session.proxies = {**get_environ_proxies(cloned.host), **session.proxies}
    session.trust_env = False


def _keep_encoded(answer: Response, *, stream: bool = False, **_: object) -> None:
    """Let an object be read as it is stored, even with ``Content-Encoding: gzip``.

    libcloud would unpack it, after which sizes and ranges would not fit. What a proxy compresses
    on its way has no ``Content-Length``, and is still unpacked.
    """
    if stream and "Content-Length" in answer.headers:
        answer.raw.headers.pop("Content-Encoding", None)
