"""The verbs for libcloud's S3 drivers, each in as few requests as the protocol allows.

libcloud would take three requests to store a small object or to read one, and knows neither
server-side copies, deleting many at once, listing from a key, nor creating only what is new. Its
drivers sign and send the requests here; what is asked and answered is S3's REST API.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain, count, islice, repeat
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from libcloud.storage.base import Container, Object

from sqlalchemy_file.exceptions import ObjectExistsError, ObjectNotFoundError
from sqlalchemy_file.storage.common.attributes import (
    attributes_from,
    checked_headers,
    from_headers,
    header_value,
    meta_data_of,
    to_headers,
)
from sqlalchemy_file.storage.common.errors import Border
from sqlalchemy_file.storage.common.protocol import (
    CHUNK_SIZE,
    Attributes,
    ObjectInfo,
    PendingUpload,
)
from sqlalchemy_file.storage.common.retrying import MAX_RETRIES
from sqlalchemy_file.storage.common.streams import cut
from sqlalchemy_file.storage.libcloud.s3_requests import (
    S3Requests,
    answered,
    children,
    parsed,
    refuse_late_error,
    text_of,
)
from sqlalchemy_file.storage.libcloud.window import Helpers

PART_SIZE = 5 * 1024 * 1024
"""Smaller contents are stored in one request; larger ones in parts of this size, S3's least."""

_LATER_PART_SIZE = 64 * 1024 * 1024
_SMALL_PARTS = 5_000  # of 10,000 that S3 allows; the others reach 340 GB
_MANY = 1_000  # objects in one DeleteObjects
_META = "x-amz-meta-"
UNKNOWN_TYPE = "application/octet-stream"

_log = logging.getLogger("sqlalchemy_file.storage")


class S3Verbs:
    """The verbs of a storage over one bucket; errors of the connection are left as they are."""

    def __init__(
        self, container: Container, timeout: float | None = None, max_retries: int = MAX_RETRIES
    ) -> None:
        self._s3 = S3Requests(container, timeout=timeout, max_retries=max_retries)
        self._helpers: Helpers[tuple[int, str]] = Helpers()

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, border: Border, exclusive: bool
    ) -> ObjectInfo:
        headers = _attribute_headers(attributes, key)
        first = border.read_full(content, PART_SIZE)
        second = border.read_full(content, PART_SIZE) if len(first) == PART_SIZE else b""
        if exclusive:
            # Asked first, because some servers do not heed the condition below.
            self._refuse_taken(key)
            condition = {"If-None-Match": "*"}
        else:
            condition = {}
        if second:
            parts = _parts([second, first], content, border)
            del first, second  # each part is let go once it is sent
            size, etag = self._put_in_parts(key, parts, headers, condition)
        else:
            size, etag = len(first), self._put_at_once(key, first, headers, condition)
        return ObjectInfo(key=key, size=size, etag=etag, attributes=attributes)

    def stat(self, key: str) -> ObjectInfo:
        answer = self._s3.send("HEAD", key)
        if answer.status_code == 404:
            # HEAD cannot say what is missing: an object that is gone, or all of them.
            self._s3.expect(self._s3.send("HEAD"), None, 200)
            raise ObjectNotFoundError(key=key)
        self._s3.expect(answer, key, 200)
        return _info_from_headers(key, answer.headers)

    def stream(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        if end is not None and end <= start:
            return
        ranged = start > 0 or end is not None
        last = "" if end is None else end - 1
        headers = {"Range": f"bytes={start}-{last}"} if ranged else {}
        answer = self._s3.send("GET", key, headers=headers, stream=True)
        try:
            if answer.status_code == 416 and ranged:
                return  # the object ends before the range begins
            self._s3.expect(answer, key, 200, *([206] if ranged else []))
            chunks = answer.raw.stream(CHUNK_SIZE, decode_content=False)
            # A server may answer a range with the whole object.
            whole = ranged and answer.status_code == 200
            yield from cut(chunks, start, end) if whole else filter(None, chunks)
        finally:
            answer.close()

    def delete(self, keys: Sequence[str], failures: dict[str, Exception]) -> None:
        for begin in range(0, len(keys), _MANY):
            batch = keys[begin : begin + _MANY]
            try:
                if len(batch) == 1 or not self._delete_many(batch, failures):
                    self._delete_each(batch, failures)
            except Exception as error:  # noqa: BLE001  kept for each key
                failures.update(dict.fromkeys(batch, error))

    def copy(self, key: str, new_key: str) -> ObjectInfo | None:
        """Copy inside the storage; None where the server cannot, as beyond 5 GB."""
        source = quote(f"/{self._s3.bucket}/{key}", safe="/~")
        answer = self._s3.send("PUT", new_key, headers={"x-amz-copy-source": source})
        if answer.status_code in (400, 405, 501):
            return None
        self._s3.expect(answer, key, 200)
        refuse_late_error(answer, new_key)
        return self.stat(new_key)

    def list(self, prefix: str, start_after: str | None) -> Iterator[ObjectInfo]:
        # Without "url" a key that XML cannot hold would spoil its whole page.
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        query |= {"start-after": start_after} if start_after else {}
        while True:
            answer = self._s3.expect(self._s3.send("GET", query=query), None, 200)
            page = parsed(answer)
            decode = unquote_plus if text_of(page, "EncodingType") == "url" else str
            for entry in children(page, "Contents"):
                yield _info_from_entry(decode(text_of(entry, "Key")), entry)
            if text_of(page, "IsTruncated") != "true":
                return
            query["continuation-token"] = text_of(page, "NextContinuationToken")

    def uploads(self) -> Iterator[PendingUpload]:
        # Without "encoding-type": Ceph heeds it here and does not say so.
        query = {"uploads": ""}
        while True:
            answer = self._s3.expect(self._s3.send("GET", query=query), None, 200)
            page = parsed(answer)
            for entry in children(page, "Upload"):
                yield PendingUpload(
                    key=text_of(entry, "Key"),
                    id=text_of(entry, "UploadId"),
                    begun_at=datetime.fromisoformat(text_of(entry, "Initiated")),
                )
            if text_of(page, "IsTruncated") != "true":
                return
            query["key-marker"] = text_of(page, "NextKeyMarker")
            query["upload-id-marker"] = text_of(page, "NextUploadIdMarker")

    def abort(self, key: str, upload: Mapping[str, str]) -> None:
        self._s3.expect(self._s3.send("DELETE", key, query=upload), key, 200, 204, 404)

    def driver_object(self, key: str) -> Object:
        container = self._s3.container()
        answer = self._s3.expect(self._s3.send("HEAD", key), key, 200)
        driver: Any = container.driver
        found: Object = driver._headers_to_object(  # nothing public does it
            key, container, {name.lower(): value for name, value in answer.headers.items()}
        )
        info = _info_from_headers(key, answer.headers)
        found.meta_data = meta_data_of(info.attributes)
        return found

    # --- storing

    def _put_at_once(
        self, key: str, data: bytes, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> str | None:
        answer = self._s3.send("PUT", key, headers={**headers, **condition}, data=data)
        if answer.status_code == 412:
            raise ObjectExistsError("an object is stored there already", key=key)
        if answer.status_code == 501 and condition:
            return self._put_at_once(key, data, headers, {})  # a server that knows none
        return _etag(self._s3.expect(answer, key, 200).headers.get("ETag"))

    def _put_in_parts(
        self,
        key: str,
        parts: Iterator[bytes],
        headers: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> tuple[int, str | None]:
        begun = self._s3.send("POST", key, query={"uploads": ""}, headers=headers)
        upload = {"uploadId": text_of(parsed(self._s3.expect(begun, key, 200)), "UploadId")}
        jobs = map(partial, repeat(partial(self._put_part, key, upload)), count(1), parts)
        try:
            # Later parts are so large that one at a time takes memory enough.
            together = self._helpers.results(islice(jobs, _SMALL_PARTS))
            sizes, etags = zip(*together, *(job() for job in jobs), strict=True)
            return sum(sizes), self._complete(key, etags, upload, condition)
        except BaseException:
            self._abort(key, upload)
            raise

    def _put_part(
        self, key: str, upload: Mapping[str, str], number: int, data: bytes
    ) -> tuple[int, str]:
        """Return the size of the part and its ETag."""
        query = {**upload, "partNumber": str(number)}
        answer = self._s3.send("PUT", key, query=query, data=data)
        return len(data), str(self._s3.expect(answer, key, 200).headers["ETag"])

    def _complete(
        self,
        key: str,
        etags: Sequence[str],
        upload: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str | None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._s3.send("POST", key, query=upload, headers=condition, data=body)
        if answer.status_code == 412:
            raise ObjectExistsError("an object is stored there already", key=key)
        self._s3.expect(answer, key, 200)
        refuse_late_error(answer, key)
        return _etag(text_of(parsed(answer), "ETag"))

    def _abort(self, key: str, upload: Mapping[str, str]) -> None:
        # The first cause is what the caller is to see, not that clearing up failed too.
        try:
            self.abort(key, upload)
        except Exception:  # noqa: BLE001
            _log.warning("the parts of %r stay in bucket %r", key, self._s3.bucket, exc_info=True)

    def _refuse_taken(self, key: str) -> None:
        answer = self._s3.send("HEAD", key)
        if answer.status_code != 404:
            self._s3.expect(answer, key, 200)
            raise ObjectExistsError("an object is stored there already", key=key)

    # --- deleting

    def _delete_many(self, keys: Sequence[str], failures: dict[str, Exception]) -> bool:
        """Delete up to 1,000 objects in one request; return False where the server refuses."""
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {"Content-MD5": base64.b64encode(digest).decode(), "Content-Type": "text/xml"}
        answer = self._s3.send(
            "POST", query={"delete": ""}, headers=headers, data=body, repeatable=True
        )
        if answer.status_code != 200:
            return False
        for error in children(parsed(answer), "Error"):
            code = text_of(error, "Code")
            if code != "NoSuchKey":
                key = text_of(error, "Key")
                failures[key] = answered(code, key)
        return True

    def _delete_each(self, keys: Sequence[str], failures: dict[str, Exception]) -> None:
        for key in keys:
            try:
                self._s3.expect(self._s3.send("DELETE", key), key, 200, 204)
            except ObjectNotFoundError:
                pass
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                failures[key] = error


def _attribute_headers(attributes: Attributes, key: str) -> dict[str, str]:
    own = checked_headers(attributes.headers, key)
    declared = next((own[name] for name in own if name.lower() == "content-type"), None)
    content_type = header_value(attributes.content_type or declared or UNKNOWN_TYPE)
    kept = {f"{_META}{name}": value for name, value in to_headers(meta_data_of(attributes)).items()}
    acl = attributes.extra.get("acl")
    if acl:
        kept["x-amz-acl"] = header_value(str(acl))
    names = {name.lower() for name in kept} | {"content-type"}
    return {
        "Content-Type": content_type,
        **kept,
        **{name: value for name, value in own.items() if name.lower() not in names},
    }


def _parts(read_last_first: list[bytes], content: BinaryIO, border: Border) -> Iterator[bytes]:
    """Yield the parts of a content, those read first, without holding on to any of them."""
    sizes = chain(repeat(PART_SIZE, _SMALL_PARTS), repeat(_LATER_PART_SIZE))
    for _ in range(len(read_last_first)):
        next(sizes)
        yield read_last_first.pop()
    yield from iter(lambda: border.read_full(content, next(sizes)), b"")


def _info_from_headers(key: str, headers: Mapping[str, str]) -> ObjectInfo:
    lowered = {name.lower(): value for name, value in headers.items()}
    meta_data = {
        name.removeprefix(_META): value for name, value in lowered.items() if name.startswith(_META)
    }
    return ObjectInfo(
        key=key,
        size=int(lowered["content-length"]),
        last_modified=_http_date(lowered.get("last-modified")),
        etag=_etag(lowered.get("etag")),
        attributes=attributes_from(from_headers(meta_data), lowered.get("content-type")),
    )


def _info_from_entry(key: str, entry: ET.Element) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=int(text_of(entry, "Size")),
        last_modified=datetime.fromisoformat(text_of(entry, "LastModified")),
        etag=_etag(text_of(entry, "ETag")),
    )


def _http_date(value: str | None) -> datetime | None:
    return parsedate_to_datetime(value) if value else None


def _etag(value: str | None) -> str | None:
    return value.strip('"') or None if value else None
