"""The names of files in the exports of admins."""

from __future__ import annotations

import re
from typing import Any

# Some spreadsheets split cells at semicolons or tabs. They skip white space, and in some languages
# full-width signs begin a formula, too.
_FORMULA = re.compile(r"((?:^|[;,\t\r\n])\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def listed(value: Any) -> list[Any]:
    """Return the files of a column, which has one or several."""
    return value if isinstance(value, list) else [value]


def file_names(value: Any) -> str:
    """Return the name of a file, or of several."""
    return ", ".join(str(each.get("filename") or "") for each in listed(value))


def spreadsheet_text(text: str) -> str:
    """Return the text of a cell, with an apostrophe before what would be run as a formula."""
    return _FORMULA.sub(r"\1'", text)
