"""Queries on file columns: keys of the record, by name and by path."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ColumnElement, type_coerce
from sqlalchemy.types import TypeDecorator


class FileComparator(TypeDecorator.Comparator[Any], JSON.Comparator[Any]):
    """Reads keys of the record: ``Doc.f["size"]`` as JSON, ``Doc.f.filename`` as its own type.

    Of a list, name the element first: ``Doc.pages[(0, "filename")].as_string()``.
    """

    def __getitem__(self, index: Any) -> Any:
        # As JSON: what comes out is a part of the record and no file.
        return self._json()[index]

    @property
    def filename(self) -> ColumnElement[str | None]:
        return self._text("filename")

    @property
    def content_type(self) -> ColumnElement[str | None]:
        return self._text("content_type")

    @property
    def checksum(self) -> ColumnElement[str | None]:
        return self._text("checksum")

    @property
    def path(self) -> ColumnElement[str | None]:
        return self._text("path")

    @property
    def upload_storage(self) -> ColumnElement[str | None]:
        return self._text("upload_storage")

    @property
    def uploaded_at(self) -> ColumnElement[str | None]:
        """The time of the upload, as ISO 8601 text in UTC, which sorts by time."""
        return self._text("uploaded_at")

    @property
    def size(self) -> ColumnElement[int | None]:
        return self._number("size")

    @property
    def width(self) -> ColumnElement[int | None]:
        return self._number("width")

    @property
    def height(self) -> ColumnElement[int | None]:
        return self._number("height")

    def _text(self, key: str) -> ColumnElement[str | None]:
        found: ColumnElement[str | None] = self._record()[key].as_string()
        return found

    def _number(self, key: str) -> ColumnElement[int | None]:
        found: ColumnElement[int | None] = self._record()[key].as_integer()
        return found

    def _record(self) -> Any:
        if getattr(self.type, "multiple", False):
            raise AttributeError(
                f"{self.expr} holds a list: name the element first, "
                f'as in column[(0, "filename")].as_string()'
            )
        return self._json()

    def _json(self) -> Any:
        return type_coerce(self.expr, self.type.impl_instance)  # type: ignore[attr-defined]
