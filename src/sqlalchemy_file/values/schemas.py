"""The JSON of a file for the clients of an API, and its schema.

Storage, path, key, options and headers are left out: a client that knows them could refer to other
files.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

from sqlalchemy_file.content.received import is_unchosen, is_upload
from sqlalchemy_file.exceptions import InvalidKeyError, UnknownStorageError
from sqlalchemy_file.values.records import own_path, public_url
from sqlalchemy_file.values.state import BaseFile

_logger = logging.getLogger("sqlalchemy_file")

UrlFor = Callable[..., "str | None"]

_PROPERTIES: dict[str, tuple[type, dict[str, Any]]] = {
    "filename": (str, {"type": "string"}),
    "content_type": (str, {"type": "string"}),
    "size": (int, {"type": "integer", "description": "in bytes"}),
    "checksum": (str, {"type": "string", "description": "sha256: and 64 hexadecimal digits"}),
    "width": (int, {"type": "integer"}),
    "height": (int, {"type": "integer"}),
    "placeholder": (str, {"type": "string"}),
}
"""What clients see of a file, besides its URL and its variants: Python's type, and JSON's."""

_OF_VARIANTS = ("content_type", "size", "width", "height")
_URL = {"type": "string", "format": "uri-reference"}

_resolver: UrlFor | None = None


def set_url_resolver(url_for: UrlFor | None) -> None:
    """Set the function that makes the URLs of public records; None for none.

        set_url_resolver(server.url_for)

    It is called as ``url_for(file)`` and ``url_for(file, variant=name)``. A file in a storage that
    was not added has no URL, and a warning is logged.
    """
    global _resolver  # noqa: PLW0603  one application has one file server
    if not (url_for is None or callable(url_for)):
        raise TypeError(
            f"expected a function, such as server.url_for, or None; got {type(url_for).__name__}"
        )
    _resolver = url_for


@overload
def public_record(file: None) -> None: ...
@overload
def public_record(file: Mapping[str, Any]) -> dict[str, Any]: ...
def public_record(file: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the part of a record that clients may see; None for None.

        return {"id": letter.id, "scan": public_record(letter.scan)}

    The keys are ``filename``, ``content_type``, ``size``, ``checksum``, ``width``, ``height``,
    ``placeholder``, ``thumbnail``, ``variants`` and ``url``, if the file has them. Values of a
    wrong type are left out. The URL is that of the resolver, else the permanent one of a public
    storage.
    """
    if file is None:
        return None
    if not isinstance(file, Mapping):
        raise TypeError(f"expected one File or None, got {type(file).__name__}")
    shown = _chosen(file, _PROPERTIES)
    _add_url(shown, file, file, None)
    if isinstance(file.get("thumbnail"), Mapping):
        shown["thumbnail"] = _variant(file, "thumbnail", file["thumbnail"])
    variants = file.get("variants")
    if isinstance(variants, Mapping):
        shown["variants"] = {
            name: _variant(file, name, record)
            for name, record in variants.items()
            if isinstance(record, Mapping)
        }
    return shown


def pydantic_schema(kind: Callable[..., Any]) -> Any:
    """Return the core schema of a file: an instance or an upload in Python, a record in JSON.

    JSON that a framework has parsed already is validated as Python, and is never an upload.
    """
    from pydantic_core import core_schema  # noqa: PLC0415  only Pydantic asks for it

    def of_upload(value: Any) -> Any:
        is_chosen = is_upload(value) and not is_unchosen(value)
        return kind(value) if is_chosen else value

    instance = core_schema.is_instance_schema(kind, cls_repr="File")
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_plain_validator_function(_refuse_json),
        python_schema=core_schema.no_info_before_validator_function(of_upload, instance),
        serialization=core_schema.plain_serializer_function_ser_schema(
            public_record, return_schema=core_schema.dict_schema()
        ),
    )


def json_of(content: Any) -> str:
    """Return the JSON of an answer that contains parameters of a program's own validators.

    They may be of any type. Files are written as public records.
    """
    return json.dumps(_plain(content), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseFile):
        return public_record(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    is_number = not isinstance(value, float) or math.isfinite(value)
    return value if is_number else str(value)


def json_schema(mode: str) -> dict[str, Any]:
    """Return the JSON schema of a file, as clients get it or as they send it."""
    if mode == "validation":
        return {"type": "string", "format": "binary", "title": "File"}
    schemas = {name: schema for name, (_, schema) in _PROPERTIES.items()}
    image = {**{name: schemas[name] for name in _OF_VARIANTS}, "url": _URL}
    variant = {"type": "object", "properties": image}
    properties = {
        **schemas,
        "url": _URL,
        "thumbnail": variant,
        "variants": {"type": "object", "additionalProperties": variant},
    }
    return {"type": "object", "title": "File", "properties": properties}


def _chosen(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: record[name] for name in names if _is_valid(record.get(name), name)}


def _is_valid(value: Any, name: str) -> bool:
    kind, _ = _PROPERTIES[name]
    if kind is int:  # no client reads more than 64 bits
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return isinstance(value, kind)


def _variant(file: Mapping[str, Any], name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shown = _chosen(record, _OF_VARIANTS)
    _add_url(shown, file, record, name)
    return shown


def _add_url(
    shown: dict[str, Any], file: Mapping[str, Any], record: Mapping[str, Any], variant: str | None
) -> None:
    url = _permanent_url(record)
    # A record of another program may name no object.
    is_stored = file.get("saved") and None not in (own_path(file), own_path(record))
    if _resolver is not None and is_stored:
        url = resolved_url(_resolver, file, variant)
    if url is not None:
        shown["url"] = url


def resolved_url(
    url_for: UrlFor, file: Mapping[str, Any], variant: str | None = None
) -> str | None:
    """Return ``url_for(file)``; for an object that it cannot name, log a warning, return None."""
    try:
        return url_for(file) if variant is None else url_for(file, variant=variant)
    except (UnknownStorageError, InvalidKeyError, UnicodeEncodeError) as error:
        _logger.warning("a file has no URL: %s", error)
        return None


def _permanent_url(record: Mapping[str, Any]) -> str | None:
    """Return the URL of an object of a public storage.

    Older releases wrote another one into the record: a path on disk, or a driver's signed URL.
    """
    path = own_path(record)
    try:
        return None if path is None else public_url(path)
    except (UnknownStorageError, UnicodeEncodeError):  # the latter is of a key that cannot be
        return None


def _refuse_json(_value: Any) -> Any:
    from pydantic_core import PydanticCustomError  # noqa: PLC0415  only Pydantic asks for it

    raise PydanticCustomError(
        "file_expected", "a file is uploaded as multipart/form-data, not described in JSON"
    )
