"""What filesystems of fsspec that are stores of objects do in another way than folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.attributes import (
    attributes_from,
    checked_headers,
    from_headers,
    header_value,
    meta_data_of,
    refuse_extra,
    to_headers,
)
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.fsspec.instances import exists_already

BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"})
"""The protocols in which an object appears when it is complete, and not before."""

PART_SIZE = 5 * 1024 * 1024
"""Smaller contents are stored in one request, larger ones in parts: of 10,000, up to 50 GB."""

_MANY = 1_000  # objects in one DeleteObjects
_PIECE = 1024 * 1024


class Bucket:
    """A store of objects, for the length of one verb; s3fs can do more than the others."""

    def __init__(self, filesystem: Any, protocols: set[str]) -> None:
        self._filesystem = filesystem
        self.keeps_attributes: bool = "s3" in protocols and hasattr(filesystem, "call_s3")

    def put(
        self,
        path: str,
        key: str,
        read: Callable[[int], bytes],
        attributes: Attributes,
        *,
        exclusive: bool,
    ) -> int:
        refuse_extra(attributes, key, ("acl",) if self.keeps_attributes else ())
        options = _headers(attributes, key) if self.keeps_attributes else {}
        begun = [read(PART_SIZE)]
        decides = exclusive and self.keeps_attributes
        try:
            if len(begun[0]) == PART_SIZE:
                return self._put_in_parts(path, begun, read, "xb" if decides else "wb", options)
            mode = {"mode": "create"} if decides else {}
            self._filesystem.pipe_file(path, begun[0], **options, **mode)
            return len(begun[0])
        except OSError as error:
            if decides and _is_precondition(error):
                raise exists_already(key) from error
            raise

    def _put_in_parts(
        self, path: str, begun: list[bytes], read: Callable[[int], bytes], mode: str, options: Any
    ) -> int:
        """Store ``begun``, which is taken so that it does not stay in memory, and what follows."""
        acl = {"acl": options.pop("ACL")} if "ACL" in options else {}
        file = self._filesystem.open(path, mode, block_size=PART_SIZE, **acl, **options)
        try:
            size: int = file.write(begun.pop())
            while chunk := read(_PIECE):
                file.write(chunk)
                size += len(chunk)
            file.close()
        except BaseException:
            # Closing would complete it, and so would the garbage collector.
            with suppress(Exception):
                file.discard()
            file.closed = True
            raise
        return size

    def stat(self, path: str, key: str) -> ObjectInfo | None:
        """Return what s3fs knows of an object in one request; None for the other stores."""
        if not self.keeps_attributes:
            return None
        bucket, _, name = path.lstrip("/").partition("/")
        found = self._filesystem.call_s3("head_object", Bucket=bucket, Key=name)
        return ObjectInfo(
            key=key,
            size=int(found["ContentLength"]),
            last_modified=found.get("LastModified"),
            etag=found.get("ETag", "").strip('"') or None,
            attributes=attributes_from(
                from_headers(found.get("Metadata", {})), found.get("ContentType")
            ),
        )

    def delete(self, paths: Mapping[str, str], failures: dict[str, Exception]) -> None:
        if self.keeps_attributes:
            named = list(paths.items())
            for begin in range(0, len(named), _MANY):
                self._delete_many(dict(named[begin : begin + _MANY]), failures)
            return
        for path, key in paths.items():
            try:
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                failures[key] = error

    def _delete_many(self, paths: Mapping[str, str], failures: dict[str, Exception]) -> None:
        names = {path.lstrip("/").partition("/")[2]: key for path, key in paths.items()}
        bucket = next(iter(paths)).lstrip("/").partition("/")[0]
        request = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        try:
            answer = self._filesystem.call_s3("delete_objects", Bucket=bucket, Delete=request)
        except Exception as error:  # noqa: BLE001  kept for each key
            failures.update(dict.fromkeys(names.values(), error))
            return
        for fault in answer.get("Errors", ()):
            key = names.get(fault.get("Key", ""), fault.get("Key", ""))
            failures[key] = StorageError(f"the storage answered {fault.get('Code')}", key=key)


def _headers(attributes: Attributes, key: str) -> dict[str, Any]:
    own = {name.lower(): value for name, value in checked_headers(attributes.headers, key).items()}
    content_type = attributes.content_type or own.pop("content-type", "application/octet-stream")
    known = {"cache-control": "CacheControl", "content-disposition": "ContentDisposition"}
    unknown = sorted(own.keys() - known.keys() - {"content-type"})
    if unknown:
        raise StorageError(f"this storage sends no header {unknown[0]!r}", key=key)
    acl = attributes.extra.get("acl")
    return {
        **({"ACL": str(acl)} if acl else {}),
        "ContentType": header_value(content_type),
        "Metadata": to_headers(meta_data_of(attributes)),
        **{known[name]: value for name, value in own.items() if name in known},
    }


def _is_precondition(error: BaseException) -> bool:
    """Tell whether botocore's error, from which fsspec made this one, says 412."""
    cause: Any = error.__cause__ or error.__context__
    details = getattr(cause, "response", None) or {}
    status = details.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 412 or "PreconditionFailed" in str(error)
