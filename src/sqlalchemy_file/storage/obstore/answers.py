"""Presigned URLs with further parameters, such as the type with which a bucket answers.

obstore signs no parameters. They are added to the URL that it has signed, and the signature is made
again by a secret that is known: the one that makes the same signature of the URL as it was.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from obstore.store import AzureStore, S3Store

from sqlalchemy_file.storage.obstore import azure

_SECRETS = ("secret_access_key", "aws_secret_access_key")
_IN_ENVIRONMENT = ("AWS_SECRET_ACCESS_KEY",)


def with_answer(store: Any, address: str, content_type: str, disposition: str) -> str:
    """Return a URL whose answer has this type and disposition, if it can be signed.

    That takes S3's or Azure's own secret, from options or the environment: a credential provider
    may ask another server each time, and is left alone. Else it is the address as it was.
    """
    if isinstance(store, S3Store):
        parameters = {"response-content-type": content_type}
        parameters["response-content-disposition"] = disposition
        return signed_by_s3(address, store, parameters) or address
    if isinstance(store, AzureStore):
        parameters = {"rsct": content_type, "rscd": disposition}
        return azure.signed_with(address, store.config, parameters)
    return address  # Google signs with a private key


def signed_by_s3(
    address: str, store: Any, parameters: Mapping[str, str], path: str | None = None
) -> str | None:
    """Return S3's URL with more parameters, and another path, if a known secret has signed it."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = query.pop("X-Amz-Signature", "")
    for secret in _secrets(store):
        if hmac.compare_digest(_signature(secret, parts.netloc, parts.path, query), known):
            path = parts.path if path is None else path
            query |= parameters
            query["X-Amz-Signature"] = _signature(secret, parts.netloc, path, query)
            text = urlencode(query, quote_via=quote, safe="~")
            return parts._replace(path=path, query=text).geturl()
    return None


def _secrets(store: Any) -> Iterator[str]:
    config: Mapping[str, Any] = store.config
    yield from (str(config[name]) for name in _SECRETS if config.get(name))
    known = getattr(store.credential_provider, "secret", None)
    yield from [known] if known else []
    yield from (os.environ[name] for name in _IN_ENVIRONMENT if os.environ.get(name))


def _signature(secret: str, host: str, path: str, query: Mapping[str, str]) -> str:
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
