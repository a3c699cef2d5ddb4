"""fsspec filesystems from URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlunsplit

from fsspec.registry import available_protocols, get_filesystem_class

from sqlalchemy_file.exceptions import InvalidStorageError
from sqlalchemy_file.storage.common.options import MAX_RETRIES
from sqlalchemy_file.storage.fsspec.instances import Instances, with_limits
from sqlalchemy_file.storage.fsspec.storage import FsspecStorage
from sqlalchemy_file.support.limits import CONCURRENCY


def storage_at(parts: SplitResult, given: Mapping[str, Any]) -> FsspecStorage | None:
    """Return the storage of a URL, or None for a scheme that fsspec does not know.

    The filesystem itself is made at its first use: some connect at once.
    """
    if parts.scheme not in available_protocols():
        return None
    if parts.query:
        raise InvalidStorageError(
            f"the URL of this storage at {parts.scheme}:// has a query: options of fsspec's "
            "filesystems are given to add_storage by their names"
        )
    options = dict(given)
    concurrency = options.pop("concurrency", CONCURRENCY)
    max_retries = options.pop("max_retries", MAX_RETRIES)
    verify = options.pop("verify", None)
    try:
        kind = get_filesystem_class(parts.scheme)
    except ImportError as error:
        raise InvalidStorageError(
            f"a storage at {parts.scheme}:// needs one more package; fsspec says: {error}"
        ) from error
    url = urlunsplit(parts)
    # What fsspec itself asks of a class to understand an address.
    options = {**kind._get_kwargs_from_urls(url), **with_limits(parts.scheme, options)}
    root = str(kind._strip_protocol(url))
    return FsspecStorage(
        Instances(kind, (), options),
        root=root,
        concurrency=concurrency,
        max_retries=max_retries,
        verify=verify,
    )
