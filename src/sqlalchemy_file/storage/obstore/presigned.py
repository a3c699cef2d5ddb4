"""Requests by presigned URLs, for what obstore cannot send, read or list.

obstore reads no object whose metadata or disposition is not ASCII. It lists no key such as
``a//b``, and ends a listing after its first page if the server ignores ``list-type=2``. It deletes
by DeleteObjects only, which some servers do not know.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote_plus, urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener
from xml.etree import ElementTree as ET

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage.common.attributes import date_of
from sqlalchemy_file.storage.common.keys import is_listed
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE, ObjectInfo
from sqlalchemy_file.storage.common.streams import cut
from sqlalchemy_file.storage.obstore.requests import Version, etag_of, received
from sqlalchemy_file.storage.obstore.signing import signed, signed_by_s3

_VALID = timedelta(minutes=15)
_META = re.compile(r"x-(?:amz|goog|ms)-meta-", re.IGNORECASE)
_NO_BUCKET = (b"NoSuchBucket", b"ContainerNotFound")

DEFAULT_TIMEOUT = 30.0
"""obstore's own, in seconds."""

_DAY = 86400.0
_UNITS = {"n": 1e-9, "u": 1e-6, "ms": 1e-3, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0}
"""Seconds by the beginning of a unit's name; the longer beginning wins."""


class Presigned:
    """Sends requests by presigned URLs, from threads."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._opener: OpenerDirector | None = None

    def stat(self, key: str) -> ObjectInfo:
        with self._opened("HEAD", self._url("HEAD", key), key) as answer:
            headers = {name: _decoded(value) for name, value in answer.headers.items()}
        sent = {name.lower(): value for name, value in headers.items()}
        meta = {_META.sub("", name): headers[name] for name in headers if _META.match(name)}
        return ObjectInfo(
            key=key,
            size=int(sent["content-length"]),
            last_modified=date_of(sent.get("last-modified")),
            etag=etag_of(sent.get("etag")),
            attributes=received(meta, sent.get("content-type", "")),
        )

    def stream(
        self, key: str, start: int, end: int | None, version: Version | None = None
    ) -> Iterator[bytes]:
        span = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        span = span if start or end is not None else {}
        with self._opened("GET", self._url("GET", key), key, span) as answer:
            if answer.status == 416:
                return
            if version is not None:
                version.require(answer.headers.get("ETag"), None, key)
            chunks = _body(answer, key)
            yield from chunks if answer.status == 206 else cut(chunks, start, end)

    def delete(self, key: str) -> None:
        with self._opened("DELETE", self._url("DELETE", key), key):
            pass

    def list(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        """Yield objects by version 1 of S3's ListObjects."""
        above, is_truncated = self._above, True
        marker = f"{above}{start_after}" if start_after else ""
        while is_truncated:
            parameters = {"prefix": f"{above}{prefix}", "marker": marker, "encoding-type": "url"}
            with self._opened("GET", self._bucket_url(parameters), None) as answer:
                page, is_truncated = _page(answer.read())
            behind = [info for info in page if info.key > marker]
            if is_truncated and not behind:
                raise StorageError("the storage lists the same objects again and again")
            for info in behind:
                marker = info.key
                key = marker.removeprefix(above)
                if is_listed(key, prefix):
                    yield replace(info, key=key)

    def _url(self, method: Any, key: str) -> str:
        url = signed(self._store, method, key, _VALID)
        if url is None:
            raise StorageError("obstore cannot sign a URL of this key", key=key)
        return url

    def _bucket_url(self, parameters: Mapping[str, str]) -> str:
        url = self._url("GET", "x")
        below = len(self._above.split("/"))
        path = "/".join([*urlsplit(url).path.split("/")[:-below], ""])
        signed = signed_by_s3(url, self._store, parameters, path)
        if signed is None:
            raise StorageError(
                "keys such as 'a//b', and buckets of servers that do not know ListObjectsV2, are "
                "listed with a secret key in the options or the environment only"
            )
        return signed

    @property
    def _above(self) -> str:
        """The prefix of all keys in the bucket."""
        prefix = str(self._store.prefix or "").strip("/")
        return f"{prefix}/" if prefix else ""

    @contextmanager
    def _opened(
        self, method: str, url: str, key: str | None, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse | HTTPError]:
        sent = {**_headers_of(self._store), **(headers or {})}
        request = Request(url, method=method, headers=sent)  # noqa: S310  signed
        try:
            with self._opener_for(url).open(request, timeout=timeout_of(self._store)) as answer:
                yield answer
        except HTTPError as error:
            with error:
                if error.code == 416 and headers:
                    yield error
                    return
                refusal = _refusal(error, method, key)
            raise refusal from None
        except (OSError, HTTPException) as error:  # whose words may repeat the URL
            cause = getattr(error, "reason", error)
            cause = cause if isinstance(cause, OSError) else error
            raise StorageError(f"the request failed: {type(cause).__name__}", key=key) from cause

    def _opener_for(self, url: str) -> OpenerDirector:
        """Return an opener with the store's proxy and certificates."""
        if self._opener is None:
            options = self._store.client_options or {}
            parts, proxy = urlsplit(url), options.get("proxy_url")
            proxies = {"http": proxy, "https": proxy} if proxy else None  # None: the environment's
            is_direct = parts.hostname in options.get("proxy_excludes", "").split(",")
            handlers: list[Any] = [ProxyHandler({} if is_direct else proxies)]
            if parts.scheme == "https":
                handlers.append(HTTPSHandler(context=_context(options)))
            self._opener = build_opener(*handlers)
        return self._opener


def _body(answer: HTTPResponse | HTTPError, key: str) -> Iterator[bytes]:
    """Yield the bytes of an answer; `http.client` reports no lost connection."""
    declared = answer.headers.get("Content-Length")
    left = None if declared is None else int(declared)
    while chunk := answer.read(CHUNK_SIZE):
        left = None if left is None else left - len(chunk)
        yield chunk
    if left:
        raise StorageError(f"the connection was lost {left} bytes before the end", key=key)


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate := options.get("root_certificate"):
        context.load_verify_locations(cadata=certificate.decode("ascii", "ignore"))
    if options.get("allow_invalid_certificates") == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _refusal(error: HTTPError, method: str, key: str | None) -> StorageError:
    body = error.read(4096)
    if error.code == 404 and not any(word in body for word in _NO_BUCKET):
        return ObjectNotFoundError(key=key)
    return StorageError(f"{method} was answered with status code: {error.code}", key=key)


def _decoded(value: str) -> str:
    """Return a header's value as UTF-8 if it is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _page(body: bytes) -> tuple[list[ObjectInfo], bool]:
    """Return the objects of one page, and whether there are more."""
    try:
        root = ET.fromstring(body)  # noqa: S314  from the storage itself
        is_encoded = root.findtext("{*}EncodingType") == "url"
        page = [
            ObjectInfo(
                key=unquote_plus(key) if is_encoded else key,
                size=int(entry.findtext("{*}Size", "")),
                last_modified=_date(entry.findtext("{*}LastModified", "")),
                etag=etag_of(entry.findtext("{*}ETag")),
            )
            for entry in root.iterfind("{*}Contents")
            if (key := entry.findtext("{*}Key")) is not None
        ]
        return page, root.findtext("{*}IsTruncated") == "true"
    except (ET.ParseError, ValueError) as error:
        raise StorageError("the storage answered a listing that cannot be read") from error


def _date(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def timeout_of(store: Any) -> float:
    """Return the shorter of a store's timeouts for reading, in seconds."""
    options = store.client_options or {}
    known = [options[name] for name in ("read_timeout", "timeout") if name in options]
    return min(map(_seconds, known), default=DEFAULT_TIMEOUT)


def _headers_of(store: Any) -> dict[str, str]:
    """Return the headers that a store sends with every request."""
    options = store.client_options or {}
    headers = {
        name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in (options.get("default_headers") or {}).items()
    }
    agent = options.get("user_agent")
    return {**headers, "User-Agent": agent} if agent else headers


def _seconds(text: str) -> float:
    """Return the seconds of a duration as obstore writes it: ``1m 30s 500ms``, ``2min``."""
    found = re.findall(r"(\d+)\s*([a-zA-Z]+)", text)
    return sum(int(each) * _UNITS.get(name[:2], _UNITS.get(name[:1], _DAY)) for each, name in found)
