"""Presigned URLs, also for keys and parameters that obstore cannot sign.

obstore's URL is then changed and signed again, by a known secret that has made its signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from obstore import sign
from obstore.store import AzureStore, GCSStore, S3Store

from sqlalchemy_file.exceptions import StorageError

_METHODS = ("GET", "HEAD", "PUT", "DELETE")

_LONGEST = timedelta(days=7)
"""The longest validity of signatures of S3 and Google."""

_S3_SECRETS = ("secret_access_key", "aws_secret_access_key")
_AZURE_SECRETS = ("account_key", "access_key", "master_key")
# The parts of Azure's signature, in order (version 2020-12-06 and later); None is the resource.
_AZURE_PARTS = (
    *("sp", "st", "se", None, "si", "sip", "spr", "sv", "sr", "snapshot", "ses"),
    *("rscc", "rscd", "rsce", "rscl", "rsct"),
)


def checked_expiry(expires: Any, method: str, *, is_limited: bool) -> timedelta:
    """Return the validity of a URL; a number means seconds.

    Raises `ValueError` for what a server would refuse.
    """
    is_number = isinstance(expires, int | float) and not isinstance(expires, bool)
    if not is_number and not isinstance(expires, timedelta):
        raise TypeError(
            f"'expires' is a timedelta or a number of seconds, not {type(expires).__name__}"
        )
    validity = expires if isinstance(expires, timedelta) else timedelta(seconds=expires)
    if method not in _METHODS or validity < timedelta(seconds=1):
        raise ValueError(
            f"a URL is signed for one of {', '.join(_METHODS)} and a time that is still "
            f"to come, not for {method!r} and {validity}"
        )
    if is_limited and validity > _LONGEST:
        raise ValueError(
            f"this storage refuses URLs that are valid for more than 7 days, and {validity} was "
            "asked for: sign a new one when it is needed"
        )
    return validity


def signed(store: Any, method: Any, key: str, validity: timedelta) -> str | None:
    """Return a presigned URL, or None for a key that obstore cannot sign.

    For Google it escapes only some characters in the path. Google refuses such a signature, and a
    key with ``?`` or ``#`` is cut off there. For Azure it signs the encoded path instead of the
    decoded one; without the account's key, that is a `StorageError`.
    """
    url = str(sign(store, method, key, validity))
    path = urlsplit(url).path
    if isinstance(store, GCSStore) and not _is_escaped(path, key):
        return None
    if not isinstance(store, AzureStore) or "%" not in path:
        return url
    corrected = _signed_by_azure(url, store.config, path, {})
    if corrected is None:
        raise StorageError(
            "URLs of keys with spaces or non-ASCII characters are signed with the account's key "
            "only: give the storage an 'account_key', or use plain keys",
            key=key,
        )
    return corrected


def _is_escaped(path: str, key: str) -> bool:
    return path == _escaped(unquote(path)) and path.endswith("/" + _escaped(key))


def _escaped(path: str) -> str:
    return quote(path, safe="/~")


def with_answer(store: Any, url: str, content_type: str, disposition: str) -> str:
    """Return a URL whose answer has this type and disposition, or the same URL.

    That takes S3's or Azure's own secret, from options or the environment. A credential provider
    is not asked: it may ask another server each time.
    """
    if isinstance(store, S3Store):
        parameters = {"response-content-type": content_type}
        parameters["response-content-disposition"] = disposition
        return signed_by_s3(url, store, parameters) or url
    if isinstance(store, AzureStore):
        parameters = {"rsct": content_type, "rscd": disposition}
        return _signed_by_azure(url, store.config, unquote(urlsplit(url).path), parameters) or url
    return url  # Google signs with a private key


def _secrets(config: Mapping[str, Any], names: Sequence[str], prefix: str) -> Iterator[str]:
    yield from (str(config[name]) for name in names if config.get(name))
    variables = (f"{prefix}_{name.upper()}" for name in names)
    yield from (os.environ[name] for name in variables if os.environ.get(name))


def signed_by_s3(
    url: str, store: Any, parameters: Mapping[str, str], path: str | None = None
) -> str | None:
    """Return S3's URL with more parameters, and another path, if its secret is known."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = query.pop("X-Amz-Signature", "")
    own = getattr(store.credential_provider, "secret", None)
    for secret in filter(None, (own, *_secrets(store.config, _S3_SECRETS, "AWS"))):
        if hmac.compare_digest(_s3_signature(secret, parts.netloc, parts.path, query), known):
            path = parts.path if path is None else path
            query |= parameters
            query["X-Amz-Signature"] = _s3_signature(secret, parts.netloc, path, query)
            text = urlencode(query, quote_via=quote, safe="~")
            return parts._replace(path=path, query=text).geturl()
    return None


def _s3_signature(secret: str, host: str, path: str, query: Mapping[str, str]) -> str:
    """Return the signature of a GET, by AWS's Signature Version 4 in the query of its URL."""
    listed = sorted((quote(name, safe="~"), quote(query[name], safe="~")) for name in query)
    request = "\n".join([
        "GET", path, "&".join(f"{name}={value}" for name, value in listed),
        f"host:{host}", "", "host", "UNSIGNED-PAYLOAD",
    ])  # fmt: skip
    _, _, scope = query.get("X-Amz-Credential", "").partition("/")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", query.get("X-Amz-Date", ""), scope, digest])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _signed_by_azure(
    url: str, config: Mapping[str, Any], signed_path: str, parameters: Mapping[str, str]
) -> str | None:
    """Return Azure's URL with more parameters, if the account's key is known.

    ``signed_path`` is the path in the signature that the URL has.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    account = (parts.hostname or "").partition(".")[0]
    for secret in _secrets(config, _AZURE_SECRETS, "AZURE_STORAGE"):
        for begin in (f"/blob/{account}", "/blob"):  # the host, or the path, names the account
            if _azure_signature(secret, query, begin + signed_path) == query.get("sig"):
                query |= parameters
                query["sig"] = _azure_signature(secret, query, begin + unquote(parts.path))
                return parts._replace(query=urlencode(query, quote_via=quote)).geturl()
    return None


def _azure_signature(secret: str, query: Mapping[str, str], resource: str) -> str:
    fields = (resource if name is None else query.get(name, "") for name in _AZURE_PARTS)
    try:
        decoded = base64.b64decode(secret, validate=True)
    except ValueError:
        return ""  # not a key of Azure
    digest = hmac.new(decoded, "\n".join(fields).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
