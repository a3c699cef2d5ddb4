"""Decodes the JSON text of a column, by msgspec where it is installed, else by Python directly."""

from __future__ import annotations

import json
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
