"""The codes of databases' errors, and which of them say that a table cannot be read."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DBAPIError

ACCESS_DENIED = 1227
"""MariaDB and MySQL: the account lacks a right that is not one on a table."""

REFUSALS = frozenset({1044, 1142, 1143, ACCESS_DENIED, 1290})
"""MariaDB and MySQL: the account lacks a right, or the server is read-only."""

_MISSING = frozenset({1049, 1054, 1146})
_MISSING_OR_REFUSED = ("3F", "42")  # SQLSTATE classes of PostgreSQL


def code_of(error: DBAPIError) -> object:
    """Return the error number or the SQLSTATE of a driver's exception."""
    original: Any = error.orig
    first = next(iter(getattr(original, "args", ())), None)
    named = (getattr(original, name, None) for name in ("errno", "sqlstate", "pgcode"))
    codes = (first if isinstance(first, int) else None, *named)
    return next((code for code in codes if code), first)


def is_unreadable(error: DBAPIError) -> bool:
    """Return True if a query failed because a table or column is missing or may not be read."""
    if error.connection_invalidated:
        return False
    name, code = getattr(error.orig, "sqlite_errorname", None), code_of(error)
    if name is not None:
        return bool(name == "SQLITE_ERROR")
    if isinstance(code, int):
        return code in _MISSING or code in REFUSALS
    if isinstance(code, str) and len(code) == len("42P01"):
        return code[:2] in _MISSING_OR_REFUSED
    return True  # this driver has no codes
