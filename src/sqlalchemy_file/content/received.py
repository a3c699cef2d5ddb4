"""Uploads and responses of frameworks and HTTP clients."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable
from typing import Any

from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE


def uploaded_file(source: Any) -> Any:
    """Return the binary file, or the bytes, inside an upload object, else ``source`` itself."""
    # Starlette, FastAPI, Litestar, Django, aiohttp and cgi keep it as `.file`, Werkzeug as
    # `.stream`. Werkzeug passes unknown attributes on to its stream, so that is asked for first.
    for name in ("stream", "file"):
        inner = getattr(source, name, None)
        if callable(getattr(inner, "read", None)):
            return inner
    body = getattr(source, "body", None)  # Sanic's upload is a named tuple with its bytes
    return body if isinstance(source, tuple) and isinstance(body, bytes) else source


def is_upload(source: Any) -> bool:
    """Return True if this is an upload object of a framework."""
    return not isinstance(source, dict) and uploaded_file(source) is not source


def is_unchosen(source: Any) -> bool:
    """Return True if a form was sent without a choice of file: no name, and not one byte."""
    if getattr(source, "filename", True) or not is_upload(source):
        return False
    file = uploaded_file(source)
    try:
        position = file.tell()
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(position)
    except (AttributeError, OSError, ValueError):
        return False
    return bool(size == 0)


def upload_name(source: Any) -> str | None:
    """Return the file name that came with an upload or an open file, as it came."""
    if type(source) is bytes:
        return None
    if hasattr(source, "filename") and is_upload(source):
        return upload_attribute(source, "filename")  # its `.name` is that of the form's field
    return upload_attribute(source, "filename", "name")


def upload_type(source: Any) -> str | None:
    """Return the content type that came with an upload or a response, as it came."""
    if type(source) is bytes:
        return None
    declared = upload_attribute(source, "content_type")
    if declared is None and is_upload(source):
        declared = upload_attribute(source, "type")  # cgi's and Sanic's
        return declared if declared is not None and "/" in declared else None
    if declared is None and is_response(source):
        return upload_attribute(source.headers, "content-type") or source.headers.get(
            "content-type"
        )
    return declared


def upload_attribute(source: Any, *names: str) -> str | None:
    """Return the first of several attributes that is a non-empty string."""
    for name in names:
        value = getattr(source, name, None)
        if isinstance(value, str) and value:
            return value
    return None


def is_response(source: Any) -> bool:
    """Return True if this is the response of requests or httpx."""
    return isinstance(getattr(source, "status_code", None), int) and (
        callable(getattr(source, "iter_content", None))
        or callable(getattr(source, "iter_bytes", None))
    )


def response_chunks(response: Any) -> Iterable[bytes] | AsyncIterable[bytes]:
    """Return the body of a response, piece by piece; `ValueError` for an error of the server."""
    if response.status_code >= 400:
        raise ValueError(
            f"the server answered with {response.status_code}: what it sent is an error page "
            "and not the file; call raise_for_status() on a response before it becomes a File"
        )
    stream = getattr(response, "stream", None)
    if callable(getattr(response, "iter_content", None)):
        read = response.iter_content
    elif isinstance(stream, AsyncIterable) and not isinstance(stream, Iterable):
        read = response.aiter_bytes
    else:
        read = response.iter_bytes
    chunks: Iterable[bytes] | AsyncIterable[bytes] = read(CHUNK_SIZE)
    return chunks
