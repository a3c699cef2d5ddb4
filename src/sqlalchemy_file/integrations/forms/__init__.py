"""What the admins and WTForms share: the changes of a form, and the names in an export.

A form has these inputs for a column ``scan``: ``scan`` for uploads; ``scan-current``, hidden, with
the token of each file that was there; ``scan-remove``, boxes with tokens; and, for several files,
``scan-replace-TOKEN`` for uploads that take the place of one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy_file.content.received import is_unchosen
from sqlalchemy_file.values.records import own_path


@dataclass(frozen=True, slots=True)
class OneFile:
    """A chosen upload, or the removal of the file; ``shown`` are the tokens in the form."""

    chosen: Any = None
    removed: bool = False
    shown: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.chosen is not None or self.removed

    def applied(self, current: Any) -> Any:
        """Return the upload, None, or the file that is there.

        A removal does not remove a file that somebody else has stored since.
        """
        if self.chosen is not None:
            return self.chosen
        is_shown = (
            not self.shown or not isinstance(current, Mapping) or token_of(current) in self.shown
        )
        return None if self.removed and is_shown else current


@dataclass(frozen=True, slots=True)
class SeveralFiles:
    """Uploads to append, those that replace a file, and which files are removed; by token."""

    added: Sequence[Any] = ()
    replaced: Mapping[str, Any] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.added or self.replaced or self.removed)

    def applied(self, current: Any) -> list[Any]:
        """Return the files in their order, those added last.

        A file that somebody else has removed since is not brought back.
        """
        files = [(token_of(file), file) for file in current or ()]
        kept = [
            self.replaced.get(token, file)
            for token, file in files
            if token in self.replaced or token not in self.removed
        ]
        return [*kept, *self.added]


def several(form: Any, name: str, uploads: Sequence[Any]) -> SeveralFiles:
    """Return what a form, a multi-dict, changes of the files of a column."""
    prefix = f"{name}-replace-"
    sent = {each: chosen(form.getlist(each)) for each in form if each.startswith(prefix)}
    replaced = {each.removeprefix(prefix): found[-1] for each, found in sent.items() if found}
    return SeveralFiles(tuple(uploads), replaced, frozenset(form.getlist(f"{name}-remove")))


def chosen(uploads: Iterable[Any]) -> list[Any]:
    """Return the uploads with a chosen file; empty inputs are sent without a name."""
    return [
        each
        for each in uploads
        if not isinstance(each, str) and not is_unchosen(each) and getattr(each, "filename", True)
    ]


def token_of(file: Mapping[str, Any]) -> str:
    """Return the token of a stored file in a form; it does not reveal its location."""
    return hashlib.sha256((own_path(file) or "").encode()).hexdigest()[:20]


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
