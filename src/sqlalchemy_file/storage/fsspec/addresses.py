"""fsspec filesystems from URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlunsplit

from fsspec.registry import available_protocols, get_filesystem_class

from sqlalchemy_file.exceptions import InvalidStorageError
from sqlalchemy_file.storage.fsspec.instances import Instances, with_limits
from sqlalchemy_file.storage.fsspec.storage import FsspecStorage


def storage_at(parts: SplitResult, given: Mapping[str, Any]) -> FsspecStorage | None:
    """Return the storage of a URL, or None if fsspec does not know the scheme.

    The filesystem is made at its first use, since some connect at once.
    """
    if parts.scheme not in available_protocols():
        return None
    if parts.query:
        raise InvalidStorageError(
            f"the URL of this storage at {parts.scheme}:// has a query: options of fsspec's "
            "filesystems are given to add_storage by their names"
        )
    options = dict(given)
    names = options.keys() & {"concurrency", "max_retries", "verify"}
    own = {name: options.pop(name) for name in names}
    try:
        kind = get_filesystem_class(parts.scheme)
    except ImportError as error:
        raise InvalidStorageError(
            f"a storage at {parts.scheme}:// needs one more package; fsspec says: {error}"
        ) from error
    url = urlunsplit(parts)
    # fsspec calls these two itself for a URL.
    options = {**kind._get_kwargs_from_urls(url), **with_limits(parts.scheme, options)}
    root = str(kind._strip_protocol(url))
    return FsspecStorage(Instances(kind, (), options), root=root, **own)
