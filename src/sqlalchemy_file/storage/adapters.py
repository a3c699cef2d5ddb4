"""Which storage a thing becomes that a program adds under a name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import url2pathname

from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.storage.base import Storage
from sqlalchemy_file.storage.local import LocalStorage
from sqlalchemy_file.storage.memory import MemoryStorage


def adapt(thing: Any) -> Storage:
    """Return the storage that ``thing`` is or stands for.

    Takes a libcloud ``Container``, a store of obstore, the address of a storage
    (``file:///absolute/path``, ``memory://``, ``s3://bucket/prefix?region=...``, ``gs://``,
    ``az://``), or any object with the methods of `Storage`. Raises `TypeError` for anything
    else, `ValueError` for an address that means nothing here.
    """
    if isinstance(thing, str):
        return _from_address(thing)
    for adapter in ADAPTERS:
        storage = adapter(thing)
        if storage is not None:
            return storage
    if isinstance(thing, Storage) and not isinstance(thing, type):
        return thing
    raise TypeError(
        "a storage is a libcloud Container, a store of obstore, an address such as "
        "'file:///srv/uploads' or 's3://bucket/prefix', or an object with the methods of Storage, "
        f"not {type(thing).__name__}"
    )


def _from_address(address: str) -> Storage:
    # The address itself may hold a password: messages name its scheme at most.
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ValueError("the address of this storage is malformed") from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is not None and "://" in address:
        return scheme(parts)
    known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
    what = f"begins with {parts.scheme}://" if "://" in address else "has no scheme"
    raise ValueError(
        f"the address of this storage {what}; those known are {known} "
        "(a folder is 'file:///absolute/path', or LocalStorage('path'))"
    )


def _file(parts: SplitResult) -> Storage:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query:
        raise ValueError(
            "the address of a folder is file:///absolute/path: three slashes, no host, no query"
        )
    return LocalStorage(url2pathname(parts.path))


def _memory(parts: SplitResult) -> Storage:
    if parts.netloc or parts.path or parts.query:
        raise ValueError("the address of a storage in memory is memory://, with nothing behind it")
    return MemoryStorage()


def _bucket(parts: SplitResult) -> Storage:
    try:
        from sqlalchemy_file.storage.obstore_addresses import storage_at  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "obstore":
            raise
        raise MissingExtraError(f"a storage at {parts.scheme}://", "obstore") from error
    return storage_at(parts)


def _obstore(thing: Any) -> Storage | None:
    # Whoever has a store has loaded this module already.
    module = sys.modules.get("obstore.store")
    if module is None:
        return None
    kinds: tuple[Any, ...] = tuple(getattr(module, name) for name in _STORES)
    if not isinstance(thing, kinds):
        return None
    from sqlalchemy_file.storage.obstore import ObstoreStorage  # noqa: PLC0415  an extra

    return ObstoreStorage(thing)


def _libcloud(thing: Any) -> Storage | None:
    # Whoever has a container has loaded this module already.
    base = sys.modules.get("libcloud.storage.base")
    if base is None or not isinstance(thing, base.Container):
        return None
    from sqlalchemy_file.storage.libcloud import storage_of  # noqa: PLC0415  loads all drivers

    return storage_of(thing)


_STORES = ("AzureStore", "GCSStore", "HTTPStore", "LocalStore", "MemoryStore", "S3Store")

SCHEMES: dict[str, Callable[[SplitResult], Storage]] = {
    "file": _file,
    "memory": _memory,
    "s3": _bucket,
    "gs": _bucket,
    "az": _bucket,
}
"""What makes a storage of an address, by the scheme the address begins with."""

ADAPTERS: list[Callable[[Any], Storage | None]] = [_libcloud, _obstore]
"""What makes a storage of an object of some library, or returns None for what is not its own."""
