"""Records of files as plain data: their objects, and where they are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from sqlalchemy_file.storage.common.keys import Location

_CONTAINERS = frozenset({dict, list})
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")

SET_BY_SAVING: frozenset[str] = frozenset({
    "saved", "path", "files", "file_id", "upload_storage", "url", "uploaded_at", "checksum",
    "thumbnail", "variants",
})  # fmt: skip
"""Keys that name objects, and what was found out while these were stored."""


def entries_in(raw: str | bytes) -> list[Any]:
    """Return what the text in a file column holds: records, unless another program wrote it.

    Raises `ValueError` for a text that is not JSON, or is nested too deeply to be read.
    """
    try:
        value = json.loads(raw)
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def paths_of(record: Mapping[str, Any], own: str | None = None) -> tuple[str, ...]:
    """Return the paths of every object that belongs to a record, its own first.

    ``own`` is what `own_path` has returned, if it has been asked already.

    They are `Location`s: the record itself names the storage of an object, even one that this
    process does not know. Rows of older versions may lack ``files``, or ``path``; what they do have
    is believed.
    """
    path, files = own or own_path(record), record.get("files")
    if (
        path is not None
        and files == [path]
        and not record.get("thumbnail")
        and not record.get("variants")
    ):
        return (path,)
    return tuple(dict.fromkeys(_paths(record)))


def own_path(record: Mapping[str, Any]) -> str | None:
    """Return the path of the file itself, or None for a record that names no object."""
    path, storage_name = record.get("path"), record.get("upload_storage")
    if isinstance(path, str) and path:
        return Location.of(path, storage_name)
    files = record.get("files")
    if isinstance(files, list | tuple) and files and isinstance(files[0], str) and files[0]:
        return Location.of(files[0], storage_name)
    key = record.get("file_id")
    return Location.of(f"{storage_name}/{key}", storage_name) if storage_name and key else None


def sha256_of(record: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of an object's bytes in hexadecimal, if its record tells it."""
    found = _SHA256.fullmatch(str(record.get("checksum")))
    return None if found is None else found[1]


def entity_tag(storage: str, key: str, sha256: str | None) -> str:
    """Return a strong entity tag: of the bytes, else of the object, whose bytes never change."""
    known = hashlib.sha256(f"{storage}/{key}".encode()).hexdigest() if sha256 is None else sha256
    digest = base64.urlsafe_b64encode(bytes.fromhex(known)).rstrip(b"=")
    return f'"{digest.decode("ascii")}"'


def _paths(record: Mapping[str, Any]) -> Iterator[str]:
    own = own_path(record)
    if own is not None:
        yield own
    derived = {
        each["path"]: Location.of(each["path"], each.get("upload_storage"))
        for each in _derived(record)
        if isinstance(each.get("path"), str) and each["path"]
    }
    files, storage_name = record.get("files"), record.get("upload_storage")
    if isinstance(files, list | tuple):
        for path in files:
            if isinstance(path, str) and path:
                yield derived.get(path) or Location.of(path, storage_name)
    yield from derived.values()


def _derived(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if isinstance(record.get("thumbnail"), Mapping):
        yield record["thumbnail"]
    variants = record.get("variants")
    if isinstance(variants, Mapping):
        yield from (variant for variant in variants.values() if isinstance(variant, Mapping))


def relocated(
    record: Mapping[str, Any],
    new_paths: Mapping[str, str],
    url_of: Callable[[str], str | None],
) -> dict[str, Any]:
    """Return a record with ``new_paths`` in place of its own paths and those of its variants."""
    moved = deepcopy(dict(record))
    moved["files"] = [new_paths[path] for path in paths_of(record)]
    for part in (moved, *_derived(moved)):
        if part.get("path") in new_paths and isinstance(part, dict):
            part["path"] = new_paths[part["path"]]
            part["file_id"] = part["path"].removeprefix(f"{part.get('upload_storage')}/")
            part["url"] = url_of(part["path"])
    return moved


def described_extra(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``extra`` as rows keep it: with the name and type that the object got."""
    extra = record.get("extra") or {}
    described = {"filename": record["filename"], "content_type": record["content_type"]}
    meta_data = {**described, **(extra.get("meta_data") or {})}
    return {"content_type": record["content_type"], **extra, "meta_data": meta_data}


def snapshot(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with lists and dicts of its own, one level deep."""
    return {
        key: value.copy() if type(value) in _CONTAINERS else value for key, value in record.items()
    }


def without_objects(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an external record that a new file may have.

    The record of another file, or a client's JSON, may name objects of other rows.
    """
    return {key: value for key, value in record.items() if key not in SET_BY_SAVING}
