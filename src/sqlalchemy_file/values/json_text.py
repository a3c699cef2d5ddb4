"""Decodes the JSON text of a column, by msgspec where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeEngine

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
        # Not orjson: it makes floats of large integers.
        return from_json

    def process(value: Any) -> Any:
        if type(value) is not str:
            return from_json(value)
        try:
            return decode(value)
        except ValueError:
            return from_json(value)  # NaN and lone surrogates, which Python takes

    return process
