"""Storages from URLs, folders, and the objects of other libraries."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from os import PathLike
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from sqlalchemy_file.exceptions import InvalidStorageError, MissingExtraError
from sqlalchemy_file.storage.common.protocol import Storage

Options: TypeAlias = Mapping[str, Any]


def adapt(thing: Any, **options: Any) -> Storage:
    """Return the storage for a URL, a folder, or an object of another library.

        storage = adapt("s3://bucket/prefix", region="eu-central-1")

    Takes a URL (``file:///absolute/path``, ``memory://``, ``s3://bucket/prefix?region=...``,
    ``gs://``, ``az://``, ``https://``, or a protocol of fsspec), a `pathlib.Path`, a libcloud
    ``Container``, an obstore store, an fsspec filesystem, or any object with the methods of
    `Storage`. Options are those of the kind of storage; some may be in the query of a URL, and
    keyword arguments win.

    Raises `TypeError` for anything else, and `InvalidStorageError` for an invalid URL or option.
    """
    if isinstance(thing, str):
        return _from_url(thing, options)
    if isinstance(thing, PathLike):
        return _folder(thing, options)
    if (kind := _kind_of(thing)) is not None:
        return _made(kind, thing, options)
    if isinstance(thing, Storage) and not isinstance(thing, type):
        if options:
            raise TypeError(
                f"{type(thing).__name__} is a storage already and takes no options, "
                f"not {_listed(options)}: give them to its constructor"
            )
        return thing
    raise TypeError(
        "a storage is a libcloud Container, an obstore store, an fsspec filesystem, a URL "
        "such as 'file:///srv/uploads' or 's3://bucket/prefix', a Path, or an object with the "
        f"methods of Storage, not {_unfit(thing)}"
    )


def _unfit(thing: object) -> str:
    """Describe an object that is not a storage, with the methods that it lacks."""
    if isinstance(thing, type):
        return f"the class {thing.__name__}: give an object of it"
    name = type(thing).__name__
    missing = [each for each in _METHODS if not callable(getattr(thing, each, None))]
    return f"{name}, which lacks {', '.join(missing)}" if len(missing) < len(_METHODS) else name


_METHODS = ("put", "stat", "stream", "delete", "copy", "list")


def _from_url(address: str, options: Options) -> Storage:
    # The URL may contain a password: messages name its scheme at most.
    try:
        parts = urlsplit(address)
    except ValueError:
        raise InvalidStorageError("the URL of this storage is malformed") from None
    if "://" in address:
        return SCHEMES.get(parts.scheme, _elsewhere)(parts, options)
    raise InvalidStorageError(
        f"the URL of this storage has no scheme; those known are {_schemes()} "
        "(a folder is 'file:///absolute/path', or a pathlib.Path)"
    )


def _file(parts: SplitResult, options: Options) -> Storage:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query:
        raise InvalidStorageError(
            "the URL of a folder is file:///absolute/path: three slashes, no host, no query"
        )
    from urllib.request import url2pathname  # noqa: PLC0415  it loads an HTTP client

    # A misspelled path, or a disk that is not mounted, must not become a new folder.
    return _folder(url2pathname(parts.path), {"create": False, **options})


def _folder(path: str | PathLike[str], options: Options) -> Storage:
    from sqlalchemy_file.storage.local import LocalStorage  # noqa: PLC0415  loaded where needed

    return _made(LocalStorage, path, options)


def _memory(parts: SplitResult, options: Options) -> Storage:
    if parts.netloc or parts.path or parts.query or options:
        raise InvalidStorageError(
            "the URL of a storage in memory is memory://: it takes no path and no options"
        )
    from sqlalchemy_file.storage.memory import MemoryStorage  # noqa: PLC0415  likewise

    return MemoryStorage()


def _bucket(parts: SplitResult, options: Options) -> Storage:
    if find_spec("obstore") is None:
        raise MissingExtraError(f"a storage at {parts.scheme}://", "obstore")
    from sqlalchemy_file.storage.obstore.addresses import storage_at  # noqa: PLC0415  an extra

    return storage_at(parts, options)


def _elsewhere(parts: SplitResult, options: Options) -> Storage:
    others = "with the extra sqlalchemy-file[fsspec] also those of fsspec"
    if find_spec("fsspec") is not None:
        from sqlalchemy_file.storage.fsspec.storage import storage_at  # noqa: PLC0415  an extra

        if (storage := storage_at(parts, options)) is not None:
            return storage
        others = "those of fsspec"
    elif parts.scheme in _SCHEMES_OF_FSSPEC:
        raise MissingExtraError(f"a storage at {parts.scheme}://", "fsspec")
    raise InvalidStorageError(
        f"the URL of this storage begins with {parts.scheme}://; those known are "
        f"{_schemes()}, and {others}"
    )


def _kind_of(thing: Any) -> Callable[..., Storage] | None:
    """Return the kind of storage for an object of a library, or None for other objects."""
    if is_from(thing, "libcloud.storage.base", "Container"):
        return _kind_of_container(thing)
    if is_from(thing, "obstore.store", "ObjectStore"):
        from sqlalchemy_file.storage.obstore import ObstoreStorage  # noqa: PLC0415  an extra

        return ObstoreStorage
    if is_from(thing, "fsspec.spec", "AbstractFileSystem"):
        from sqlalchemy_file.storage.fsspec import FsspecStorage  # noqa: PLC0415  an extra

        return FsspecStorage
    return None


def is_from(thing: Any, module: str, kind: str) -> bool:
    """Return True if an object is of a class of a library, which is loaded then."""
    return isinstance(thing, getattr(sys.modules.get(module), kind, ()))


def _kind_of_container(container: Any) -> Callable[..., Storage]:
    from sqlalchemy_file.storage.local_container import kind_of  # noqa: PLC0415  loads all drivers

    if find_spec("obstore") is not None:
        from sqlalchemy_file.storage.s3_container import (  # noqa: PLC0415  an extra
            S3ContainerStorage,
            is_carried,
        )

        if is_carried(container):
            return S3ContainerStorage
    return kind_of(container)


def _made(kind: Callable[..., Storage], thing: Any, options: Options) -> Storage:
    """Call a storage's constructor; an unknown option raises `InvalidStorageError`."""
    known = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    unknown = [name for name in options if name not in known]
    if unknown:
        what = getattr(kind, "__name__", "this storage")
        raise InvalidStorageError(
            f"{what} has no option {unknown[0]!r}; it knows {_listed(known) or 'none'}"
        )
    return kind(thing, **options)


def _schemes() -> str:
    return ", ".join(f"{name}://" for name in sorted(SCHEMES))


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


_SCHEMES_OF_FSSPEC = frozenset(
    {"abfs", "adl", "box", "dbfs", "dropbox", "ftp", "gcs", "gdrive", "github", "hdfs", "hf", "oci",
     "oss", "sftp", "smb", "ssh", "webdav", "webhdfs"}
)  # fmt: skip

SCHEMES: dict[str, Callable[[SplitResult, Options], Storage]] = {
    "file": _file,
    "memory": _memory,
    **dict.fromkeys(("s3", "gs", "az", "http", "https"), _bucket),
}
"""Functions that make a storage from a URL and options, by scheme."""
