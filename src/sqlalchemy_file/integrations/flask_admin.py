"""Flask-Admin: file columns as upload fields, and thumbnails in lists.

>>> class LetterAdmin(FilesView, ModelView):
...     column_list = ["title", "scan"]
"""

from __future__ import annotations

from typing import Any, ClassVar

from flask import request
from flask_admin.contrib.sqla.form import AdminModelConverter
from flask_admin.model.form import converts
from flask_admin.model.typefmt import BASE_FORMATTERS, EXPORT_FORMATTERS
from markupsafe import Markup

from sqlalchemy_file.file import File
from sqlalchemy_file.integrations.forms import file_names, spreadsheet_text
from sqlalchemy_file.integrations.wtforms import StoredFileField, StoredFilesField, files_markup
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.types import file_field

__all__ = ["FilesView", "file_formatter"]


def file_formatter(view: Any, value: Any, name: str = "") -> Markup:
    """Return links to a file, or to several, with their thumbnails."""
    return files_markup(value)


def _names(view: Any, value: Any, name: str = "") -> str:
    names = file_names(value)
    kind = (request.view_args or {}).get("export_type") if request else None
    return names if kind in _NOT_SPREADSHEETS else spreadsheet_text(names)


_NOT_SPREADSHEETS = {"json", "yaml"}


class _FilesConverter(AdminModelConverter):  # type: ignore[misc]
    """A `model_form_converter` that makes file columns upload fields."""

    @converts("sqlalchemy_file.types.FileField")  # type: ignore[untyped-decorator]
    def conv_stored_file(self, column: Any, field_args: dict[str, Any], **extra: Any) -> Any:
        """Return the form field of a file column."""
        field = file_field(column.type)
        field_args.pop("default", None)
        kind = StoredFilesField if field is not None and field.multiple else StoredFileField
        return kind(**field_args)


class FilesView:
    """A mixin for a `ModelView` of a model with file columns; name it before `ModelView`.

    An edit without a new file keeps the file. A checkbox removes it.
    """

    model_form_converter: ClassVar[Any] = _FilesConverter
    # The first class that fits counts, and a file is a dict.
    column_type_formatters: ClassVar[Any] = {
        File: file_formatter,
        MutableList: file_formatter,
        **BASE_FORMATTERS,
    }
    column_type_formatters_detail: ClassVar[Any] = column_type_formatters
    column_type_formatters_export: ClassVar[Any] = {
        File: _names,
        MutableList: _names,
        **EXPORT_FORMATTERS,
    }
