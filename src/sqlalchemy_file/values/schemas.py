"""The JSON of a file for the clients of an API, and its schema.

Storage, path, key, options and headers are left out: a client that knows them could refer to other
files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy_file.exceptions import UnknownStorageError
from sqlalchemy_file.values.objects import public_url
from sqlalchemy_file.values.records import own_path

UrlFor = Callable[..., "str | None"]

_SHOWN = ("filename", "content_type", "size", "checksum", "width", "height", "placeholder")
_SHOWN_OF_VARIANTS = ("content_type", "size", "width", "height")

_resolver: UrlFor | None = None


def set_url_resolver(url_for: UrlFor | None) -> None:
    """Set the function that makes the URLs of public records; None for none.

    It is called as ``url_for(file)`` and ``url_for(file, variant=name)``.
    """
    global _resolver  # noqa: PLW0603  one application has one file server
    _resolver = url_for


def public_record(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a record that clients may see.

    The keys are ``filename``, ``content_type``, ``size``, ``checksum``, ``width``, ``height``,
    ``placeholder``, ``thumbnail``, ``variants`` and ``url``, if the file has them. The URL is that
    of the resolver, else the permanent one of a public storage.
    """
    shown = _chosen(file, _SHOWN)
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


def pydantic_schema(kind: type) -> Any:
    """Return the core schema of a file: an instance in Python, a public record in JSON."""
    from pydantic_core import core_schema  # noqa: PLC0415  only Pydantic asks for it

    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_plain_validator_function(_refuse_json),
        python_schema=core_schema.is_instance_schema(kind, cls_repr="File"),
        serialization=core_schema.plain_serializer_function_ser_schema(
            public_record, return_schema=core_schema.dict_schema()
        ),
    )


def json_schema(mode: str) -> dict[str, Any]:
    """Return the JSON schema of a file, as clients get it or as they send it."""
    if mode == "validation":
        return {"type": "string", "format": "binary", "title": "File"}
    image = {name: _PROPERTIES[name] for name in (*_SHOWN_OF_VARIANTS, "url")}
    variant = {"type": "object", "properties": image}
    properties = {
        **_PROPERTIES,
        "thumbnail": variant,
        "variants": {"type": "object", "additionalProperties": variant},
    }
    required = ["filename", "content_type", "size"]
    return {"type": "object", "title": "File", "properties": properties, "required": required}


_PROPERTIES: dict[str, dict[str, Any]] = {
    "filename": {"type": "string"},
    "content_type": {"type": "string"},
    "size": {"type": "integer", "description": "in bytes"},
    "checksum": {"type": "string", "description": "sha256: and 64 hexadecimal digits"},
    "width": {"type": "integer"},
    "height": {"type": "integer"},
    "placeholder": {"type": "string"},
    "url": {"type": "string", "format": "uri-reference"},
}


def _chosen(record: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: record[name] for name in names if record.get(name) is not None}


def _variant(file: Mapping[str, Any], name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shown = _chosen(record, _SHOWN_OF_VARIANTS)
    _add_url(shown, file, record, name)
    return shown


def _add_url(
    shown: dict[str, Any], file: Mapping[str, Any], record: Mapping[str, Any], variant: str | None
) -> None:
    url = _permanent_url(record)
    # A record of another program may name no object.
    is_stored = file.get("saved") and None not in (own_path(file), own_path(record))
    if _resolver is not None and is_stored:
        url = _resolver(file) if variant is None else _resolver(file, variant=variant)
    if url is not None:
        shown["url"] = url


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
