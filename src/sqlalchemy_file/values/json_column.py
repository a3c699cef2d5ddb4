"""The JSON of a file column: queries on keys of the record, and decoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from sqlalchemy import JSON, ColumnElement, type_coerce
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


def _key(name: str, read: str = "as_string") -> Any:
    """Return a property that reads one key of the record."""
    return property(lambda self: getattr(self._record()[name], read)())


class FileComparator(TypeDecorator.Comparator[Any], JSON.Comparator[Any]):
    """Reads keys of the record: ``Doc.f["size"]`` as JSON, ``Doc.f.filename`` as its own type.

    Of a list, name the element first: ``Doc.pages[(0, "filename")].as_string()``.
    """

    def __getitem__(self, index: Any) -> Any:
        # As JSON: what comes out is a part of the record and no file.
        return self._json()[index]

    filename: ColumnElement[str | None] = _key("filename")
    content_type: ColumnElement[str | None] = _key("content_type")
    checksum: ColumnElement[str | None] = _key("checksum")
    path: ColumnElement[str | None] = _key("path")
    upload_storage: ColumnElement[str | None] = _key("upload_storage")
    uploaded_at: ColumnElement[str | None] = _key("uploaded_at")
    """The time of the upload, as ISO 8601 text in UTC, which sorts by time."""
    size: ColumnElement[int | None] = _key("size", "as_integer")
    width: ColumnElement[int | None] = _key("width", "as_integer")
    height: ColumnElement[int | None] = _key("height", "as_integer")

    def _record(self) -> Any:
        if getattr(self.type, "multiple", False):
            raise AttributeError(
                f"{self.expr} holds a list: name the element first, "
                f'as in column[(0, "filename")].as_string()'
            )
        return self._json()

    def _json(self) -> Any:
        return type_coerce(self.expr, self.type.impl_instance)  # type: ignore[attr-defined]


# --- decoding: by msgspec where it is installed, else by Python directly

Decoder = Callable[[Any], Any]


def faster(from_json: Decoder, kind: TypeEngine[Any], dialect: Dialect) -> Decoder:
    """Return a function that decodes as ``from_json`` does, in less time where that can be.

    ``from_json`` is the result processor of a JSON type. It stays if the program has chosen a
    decoder, by ``create_engine(json_deserializer=...)`` or by a JSON type of its own.
    """
    is_own = not type(kind).__module__.startswith("sqlalchemy.") or not isinstance(kind, JSON)
    # SQLAlchemy's JSON type asks the dialect for the same attribute; there is no public name.
    if is_own or getattr(dialect, "_json_deserializer", True) is not None:
        return from_json
    try:
        decode: Decoder = import_module("msgspec.json").decode
    except ImportError:
        decode = _decode  # not by orjson: it makes floats of large integers

    def process(value: Any) -> Any:
        if type(value) is not str:
            return from_json(value)
        try:
            return decode(value)
        except ValueError:
            return from_json(value)  # NaN and lone surrogates, which Python takes, or white space

    return process


def _decode(text: str) -> Any:
    """Decode as ``json.loads`` does, without its search for white space before and after."""
    value, end = _decoded_from(text)
    if end != len(text):
        raise ValueError("something follows the value")
    return value


_decoded_from = json.JSONDecoder().raw_decode
