"""SQLAdmin: file columns as upload fields, and thumbnails in lists.

>>> class LetterAdmin(FilesView, ModelView, model=Letter):
...     column_list = [Letter.id, Letter.scan]
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Self

from markupsafe import Markup
from sqladmin.formatters import BASE_FORMATTERS
from sqladmin.forms import ModelConverter, converts

from sqlalchemy_file.file import File
from sqlalchemy_file.integrations.forms import (
    OneFile,
    SeveralFiles,
    file_names,
    listed,
    spreadsheet_text,
    token_of,
)
from sqlalchemy_file.integrations.wtforms import (
    Part,
    StoredFileField,
    StoredFilesField,
    files_markup,
)
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.types import file_field

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["FilesConverter", "FilesView", "file_formatter"]


def file_formatter(value: Any) -> Markup:
    """Return links to a file, or to several, with their thumbnails."""
    return files_markup(value)


class _Names(str):
    """The names of files, as an export has them; a list has links in their place.

    SQLAdmin writes ``str()`` of a value into CSV, and the value itself into JSON.
    """

    __slots__ = ("files",)

    files: Any

    def __new__(cls, files: Any) -> Self:
        names = super().__new__(cls, file_names(files))
        names.files = files
        return names

    def __str__(self) -> str:
        return spreadsheet_text(super().__str__())


_files_of_row: ContextVar[Mapping[str, File] | None] = ContextVar("_files_of_row", default=None)
"""The files of the row that a request edits, by their tokens."""


class _Deferred:
    """A field that hands the change over, as SQLAdmin's forms do not know the row."""

    change: Any

    def process_formdata(self, valuelist: Any) -> None:
        super().process_formdata(valuelist)  # type: ignore[misc]
        self.data = self.change

    def kept_parts(self) -> list[Part]:
        """Return the files that the row has; a form that is shown again has only their tokens."""
        parts: list[Part] = super().kept_parts()  # type: ignore[misc]
        files = _files_of_row.get() or {}
        return [part if part.file else Part(part.token, files.get(part.token)) for part in parts]


class _FileField(_Deferred, StoredFileField):
    pass


class _FilesField(_Deferred, StoredFilesField):
    pass


class FilesConverter(ModelConverter):
    """A `form_converter` that makes file columns upload fields."""

    @converts("sqlalchemy_file.types.FileField")  # type: ignore[untyped-decorator]
    def conv_stored_file(self, model: type, prop: Any, kwargs: dict[str, Any]) -> Any:
        """Return the form field of a file column."""
        field = file_field(prop.columns[0].type)
        return (_FilesField if field is not None and field.multiple else _FileField)(**kwargs)


class FilesView:
    """A mixin for a `ModelView` of a model with file columns; name it before `ModelView`.

    An edit without a new file keeps the file. A checkbox removes it. If a view overrides
    ``on_model_change``, it has to call the method of this class.
    """

    form_converter: ClassVar[Any] = FilesConverter
    column_type_formatters: ClassVar[Any] = {
        **BASE_FORMATTERS,
        _Names: lambda value: file_formatter(value.files),
        File: file_formatter,
        MutableList: file_formatter,
    }

    async def get_prop_value(self, obj: Any, prop: str) -> Any:
        """Return a value for lists and exports; the value of a file is its name."""
        value = await super().get_prop_value(obj, prop)  # type: ignore[misc]
        return _Names(value) if isinstance(value, File | MutableList) else value

    async def custom_export_cell(self, row: Any, name: str, value: Any) -> str | None:
        """Return the names of files for a pretty export, which has links otherwise."""
        if isinstance(value, _Names):
            return str(value)
        cell: str | None = await super().custom_export_cell(row, name, value)  # type: ignore[misc]
        return cell

    def get_import_columns(self) -> list[str]:
        """Return the columns of a CSV import; none has files, as a cell has only their names."""
        names: list[str] = super().get_import_columns()  # type: ignore[misc]
        return [name for name in names if name not in self._file_names()]

    async def get_object_for_edit(self, request: Request) -> Any:
        """Return the row of the form, without its files if the form was sent.

        SQLAdmin would open them as local files, and store them again.
        """
        row = await super().get_object_for_edit(request)  # type: ignore[misc]
        if row is not None and request.method == "POST":
            names = self._file_names()
            files = [file for name in names for file in listed(vars(row).get(name))]
            _files_of_row.set({token_of(each): each for each in files if isinstance(each, File)})
            for key in await request.form():
                if key.partition("-")[0] in names:
                    vars(row)[key] = None  # the row is detached, and only read
        return row

    async def on_model_change(
        self, data: dict[str, Any], model: Any, is_created: bool, request: Request
    ) -> None:
        """Put the new files into the data of the form, and leave out those that stay."""
        for name, change in list(data.items()):
            if isinstance(change, OneFile | SeveralFiles):
                if change:
                    data[name] = change.applied(getattr(model, name))
                else:
                    del data[name]
        await super().on_model_change(data, model, is_created, request)  # type: ignore[misc]

    def _file_names(self) -> set[str]:
        """Return the names of the file columns."""
        mapper: Any = self._mapper  # type: ignore[attr-defined]
        return {
            attribute.key
            for attribute in mapper.column_attrs
            if file_field(attribute.columns[0].type) is not None
        }
