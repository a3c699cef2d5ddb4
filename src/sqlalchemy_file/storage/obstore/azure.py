"""Presigned URLs of Azure, for keys that obstore signs wrongly."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from sqlalchemy_file.exceptions import StorageError

_KEYS = ("account_key", "access_key", "master_key")
_KEYS_IN_ENVIRONMENT = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
)
# The signed parts, in order (version 2020-12-06 and later); None is the place of the resource.
_SIGNED = (
    *("sp", "st", "se", None, "si", "sip", "spr", "sv", "sr", "snapshot", "ses"),
    *("rscc", "rscd", "rsce", "rscl", "rsct"),
)


def corrected(address: str, config: Mapping[str, Any], key: str) -> str:
    """Return a presigned URL that Azure accepts, for keys with any characters.

    obstore signs the path as it is encoded, and Azure compares with the decoded one. Raises
    `StorageError` if the account's key is unknown.
    """
    path = urlsplit(address).path
    url = _signed_again(address, config, path, {}) if "%" in path else address
    if url is None:
        raise StorageError(
            "URLs of keys with spaces or non-ASCII characters are signed with the account's key "
            "only: give the storage an 'account_key', or use plain keys",
            key=key,
        )
    return url


def signed_with(address: str, config: Mapping[str, Any], parameters: Mapping[str, str]) -> str:
    """Return a presigned URL with more parameters, signed too, if the account's key is known."""
    signed_path = unquote(urlsplit(address).path)
    return _signed_again(address, config, signed_path, parameters) or address


def _signed_again(
    address: str, config: Mapping[str, Any], signed_path: str, parameters: Mapping[str, str]
) -> str | None:
    """Return the URL, signed by the key that has signed it as it is; None if that is unknown."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    for secret in _secrets(config):
        for begin in _resources(parts):
            if _signature(secret, query, begin + signed_path) == query.get("sig"):
                query |= parameters
                query["sig"] = _signature(secret, query, begin + unquote(parts.path))
                return parts._replace(query=urlencode(query, quote_via=quote)).geturl()
    return None


def _secrets(config: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(config[name]) for name in _KEYS if config.get(name))
    yield from (os.environ[name] for name in _KEYS_IN_ENVIRONMENT if os.environ.get(name))


def _resources(parts: SplitResult) -> tuple[str, str]:
    """Return the possible beginnings of the signed text."""
    return f"/blob/{(parts.hostname or '').partition('.')[0]}", "/blob"


def _signature(secret: str, query: Mapping[str, str], resource: str) -> str:
    fields = (resource if name is None else query.get(name, "") for name in _SIGNED)
    try:
        decoded = base64.b64decode(secret, validate=True)
    except ValueError:
        return ""  # no key of Azure's
    digest = hmac.new(decoded, "\n".join(fields).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
