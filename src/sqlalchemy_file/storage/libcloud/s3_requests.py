"""Requests to S3, signed and sent by a libcloud driver, and what their answers say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from time import sleep
from typing import Any
from xml.etree import ElementTree as ET

from libcloud.common.aws import SignedAWSConnection
from libcloud.common.base import RawResponse
from libcloud.storage.base import Container, StorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout  # noqa: A004

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage.common.retrying import OVERLOADED, pauses
from sqlalchemy_file.storage.libcloud.clones import Clones

_UNANSWERED = (ChunkedEncodingError, ConnectionError, Timeout)


def speaks_s3(driver: StorageDriver) -> bool:
    """Tell whether a driver signs its requests as S3 does today (version 4)."""
    return (
        isinstance(driver, BaseS3StorageDriver)
        and driver.http_vendor_prefix == "x-amz"
        and isinstance(driver.connection, SignedAWSConnection)
    )


class S3Requests:
    """Requests about one bucket and its objects, from whichever thread."""

    def __init__(self, container: Container, *, timeout: float | None, max_retries: int) -> None:
        self._clones = Clones(container, _prepare, timeout=timeout)
        self._max_retries = max_retries
        self._bucket = container.name

    @property
    def bucket(self) -> str:
        return self._bucket

    def container(self) -> Container:
        """Return this thread's own container."""
        return self._clones.get()

    def send(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        stream: bool = False,
        repeatable: bool = False,
    ) -> Any:
        """Send a request about an object, or the bucket, and return the response of ``requests``.

        Whatever its status is: `expect` judges it. A request that does the same when it is
        repeated is sent again after a while where the server is overloaded or does not answer.
        """
        conditional = any(name.lower() == "if-none-match" for name in headers or ())
        once = method == "POST" or conditional
        waits = pauses(self._max_retries if repeatable or not once else 0)
        while True:
            failure = None
            try:
                answer = self._send(method, key, query, headers, data, stream)
                if answer.status_code not in OVERLOADED:
                    return answer
            except _UNANSWERED as error:
                failure = error
            pause = next(waits, None)
            if pause is not None:
                sleep(pause)
            elif failure is not None:
                raise failure
            else:
                return answer

    def _send(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        data: bytes | None,
        stream: bool,
    ) -> Any:
        container = self._clones.get()
        driver: Any = container.driver
        # libcloud has no public names for these, and not all drivers lay them out alike.
        path = (
            driver._get_container_path(container)
            if key is None
            else driver._get_object_path(container, key)
        )
        connection = driver.connection
        try:
            connection.request(
                path,
                method=method,
                params=dict(query or {}),
                headers=dict(headers or {}),
                data=data,
                raw=True,
                stream=stream,
            )
            return _without_body(connection.connection.getresponse())
        finally:
            connection.data = None  # else each thread would keep what it sent last

    def expect(self, answer: Any, key: str | None, *statuses: int) -> Any:
        """Return an answer of one of these statuses; raise what any other one says."""
        if answer.status_code in statuses:
            return answer
        code = _error_code(answer)
        if code == "NoSuchBucket" or (key is None and answer.status_code == 404):
            raise StorageError(f"there is no bucket {self._bucket!r}", key=key)
        if answer.status_code == 404:
            raise ObjectNotFoundError(key=key)
        raise answered(f"{answer.status_code} {code}".strip(), key)


class _Answer(RawResponse):
    """An answer that is judged by `S3Requests.expect`: libcloud takes some errors for success."""

    def success(self) -> bool:
        return True


def _prepare(driver: Any) -> None:
    connection = driver.connection
    connection.rawResponseCls = _Answer
    sign = connection.pre_connect_hook

    def sign_for_bytes(params: Any, headers: Any) -> Any:
        # libcloud asks for compression, after which ranges and sizes would not fit.
        return sign(params, {**headers, "Accept-Encoding": "identity"})

    connection.pre_connect_hook = sign_for_bytes


def _without_body(answer: Any) -> Any:
    """Return an answer that does not keep alive what it is the answer to."""
    answer.request.body = None
    return answer


def answered(what: str, key: str | None) -> StorageError:
    return StorageError(f"the storage answered {what}", key=key)


def refuse_late_error(answer: Any, key: str) -> None:
    """Raise what a server says after it began to answer 200, to keep the connection alive."""
    with suppress(ET.ParseError):
        body = parsed(answer)
        if body.tag.rpartition("}")[2] == "Error":
            raise answered(text_of(body, "Code"), key)


def parsed(answer: Any) -> ET.Element:
    # From the bytes, since libcloud guesses the encoding of what says none.
    return ET.fromstring(answer.content)  # noqa: S314  of a server that we are signed in to


def children(parent: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield the children of a name, in whatever namespace: servers differ in it."""
    return (child for child in parent if child.tag.rpartition("}")[2] == name)


def text_of(parent: ET.Element, name: str) -> str:
    """Return the text of the first child of a name; empty where there is none."""
    return next((child.text or "" for child in children(parent, name)), "")


def _error_code(answer: Any) -> str:
    # Only the code: the rest of an answer may repeat what was signed, and with which key.
    with suppress(ET.ParseError):
        return text_of(parsed(answer), "Code")
    return ""
