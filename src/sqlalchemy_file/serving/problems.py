"""Answers without a file, as problem documents (RFC 9457) without details."""

from __future__ import annotations

import json
from http import HTTPStatus

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectNotFoundError,
    StorageError,
    UnknownStorageError,
)
from sqlalchemy_file.observing import not_served
from sqlalchemy_file.serving.http.plan import Plan

RETRY_AFTER = 5
"""Seconds after which a client may ask a storage again that did not answer."""

_DETAILS = {
    HTTPStatus.FORBIDDEN: "This URL is not valid.",
    HTTPStatus.NOT_FOUND: "There is no such file.",
    HTTPStatus.GONE: "This URL has expired.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The file cannot be read at the moment.",
    HTTPStatus.GATEWAY_TIMEOUT: "The file could not be read in time.",
}


def problem(status: HTTPStatus) -> Plan:
    """Return an answer whose body is a problem document."""
    body = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": int(status),
         "detail": _DETAILS[status]}
    ).encode()  # fmt: skip
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return Plan(status, headers, (body,))


def problem_of(error: Exception) -> Plan:
    """Return the answer to an error of a storage, and log it; any other error is raised again."""
    if isinstance(error, ObjectNotFoundError | InvalidKeyError):
        return problem(HTTPStatus.NOT_FOUND)
    if isinstance(error, StorageError | UnknownStorageError):
        not_served(error)
    if isinstance(error, StorageError):
        causes = (error, error.__cause__, getattr(error.__cause__, "__cause__", None))
        timed_out = any(isinstance(cause, TimeoutError) for cause in causes)
        late, down = HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.SERVICE_UNAVAILABLE
        return problem(late if timed_out else down)
    if isinstance(error, UnknownStorageError):
        return problem(HTTPStatus.NOT_FOUND)
    raise error
