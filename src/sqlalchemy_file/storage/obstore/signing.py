"""Presigned URLs by obstore, and the options of its HTTP client for those who request them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from obstore import sign
from obstore.store import AzureStore, GCSStore

from sqlalchemy_file.storage.obstore.azure import corrected

DEFAULT_TIMEOUT = 30.0
"""Seconds, obstore's own for a store without options."""

_DAY = 86400.0
_UNITS = {"n": 1e-9, "u": 1e-6, "ms": 1e-3, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0}
"""Seconds, by what the name of a unit begins with; the longer beginning is looked for first."""


def signed(store: Any, method: Any, key: str, validity: timedelta) -> str | None:
    """Return a presigned URL, or None for a key that obstore cannot sign.

    For Google it escapes only some characters in the path of the URL. Google refuses such a
    signature, and a key with ``?`` or ``#`` is cut off there.
    """
    url = str(sign(store, method, key, validity))
    if isinstance(store, AzureStore):
        return corrected(url, store.config, key)
    return None if isinstance(store, GCSStore) and not _is_escaped(url, key) else url


def _is_escaped(url: str, key: str) -> bool:
    path = urlsplit(url).path
    return path == _escaped(unquote(path)) and path.endswith("/" + _escaped(key))


def _escaped(path: str) -> str:
    return quote(path, safe="/~")


def timeout_of(store: Any) -> float:
    """Return the seconds that a store may be silent: the shorter of its timeouts for reading."""
    options = store.client_options or {}
    known = [options[name] for name in ("read_timeout", "timeout") if name in options]
    return min(map(_seconds, known), default=DEFAULT_TIMEOUT)


def headers_of(store: Any) -> Iterator[tuple[str, str]]:
    """Yield the headers that a store sends with every request."""
    options = store.client_options or {}
    for name, value in (options.get("default_headers") or {}).items():
        yield name, value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if agent := options.get("user_agent"):
        yield "User-Agent", agent


def _seconds(text: str) -> float:
    """Return the seconds of a duration as obstore writes it: ``1m 30s 500ms``, ``2min``."""
    total = 0.0
    for number, unit in re.findall(r"(\d+)\s*([a-zA-Z]+)", text):
        total += int(number) * _UNITS.get(unit[:2], _UNITS.get(unit[:1], _DAY))
    return total
