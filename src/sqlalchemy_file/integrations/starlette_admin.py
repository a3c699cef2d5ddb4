"""starlette-admin: file columns with any keys, shown with URLs of a file server.

>>> admin = Admin(engine, plugins=[FilesPlugin(server)])
>>> class LetterView(FilesView, ModelView): ...
>>> admin.add_view(LetterView(Letter))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from starlette_admin.contrib.sqla.converters import ModelConverter, register_converter
from starlette_admin.contrib.sqla.fields import FileField, ImageField
from starlette_admin.exceptions import FormValidationError
from starlette_admin.i18n import gettext
from starlette_admin.plugins import BasePlugin
from starlette_admin.storage import BaseStorage
from starlette_admin.types import RequestAction

from sqlalchemy_file import types
from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.exceptions import UnknownStorageError, ValidationErrors
from sqlalchemy_file.file import File
from sqlalchemy_file.integrations.forms import OneFile, SeveralFiles, several, token_of
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.support.defaults import UNNAMED
from sqlalchemy_file.transfer import in_thread
from sqlalchemy_file.values.records import own_path
from sqlalchemy_file.values.schemas import resolved_url

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette_admin.base import BaseAdmin

    from sqlalchemy_file.serving import FileServer

__all__ = ["FilesPlugin", "FilesView"]


_REQUIRED = "This field is required."
_SERVER = "sqlalchemy_file_server"
"""The name of a file server among the state of an admin's application."""


class _Edited(tuple[Any, bool]):  # noqa: SLOT001  a tuple has none for a further value
    """The uploads of an edit form, whether its box is ticked, and what that changes."""

    change: OneFile | SeveralFiles


class _StoredField:
    """The base of both fields: URLs of a file server, and changes of several files one by one."""

    edits_each: bool
    multiple: bool
    plain_template: str
    """The template of the form, which that of a view with one file includes."""

    async def parse_form_data(self, request: Request, form_data: FormData) -> tuple[Any, bool]:
        """Return the upload, and whether the old value is deleted."""
        value, is_deleted = await super().parse_form_data(request, form_data)  # type: ignore[misc]
        if not self.edits_each or request.state.action == RequestAction.CREATE:
            return value, is_deleted
        if self.multiple == is_deleted:  # nothing that depends on the files of the row
            return value, is_deleted
        name: str = self.id  # type: ignore[attr-defined]
        if not self.multiple:
            edited = _Edited((value, True))
            tokens = form_data.getlist(f"{name}-current")
            shown = frozenset(each for each in tokens if isinstance(each, str))
            edited.change = OneFile(value, removed=True, shown=shown)
            return edited
        change = several(form_data, name, value)
        edited = _Edited(([*change.added, *change.replaced.values()], False))
        edited.change = change
        return edited

    async def validate(self, request: Request, value: Any, form_values: dict[str, Any]) -> None:
        """Raise `ValueError` for an upload that is refused, or missing in a required column."""
        uploads, is_deleted = value
        is_kept = request.state.action != RequestAction.CREATE and not is_deleted
        if self.required and not uploads and not is_kept:  # type: ignore[attr-defined]
            raise ValueError(gettext(_REQUIRED))
        await super().validate(request, value, form_values)  # type: ignore[misc]

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """Return the files as the templates show them."""
        # Converters are those of all admins of a process, but a server is that of one.
        server = getattr(request.app.state, _SERVER, None)
        if server is None:
            return await super().serialize_value(request, value)  # type: ignore[misc]
        is_exported = getattr(self, "storage", None) is _exports
        return _for_each(value, _exported if is_exported else partial(_shown, server))


@dataclass
class StoredFileField(_StoredField, FileField):
    """A `starlette_admin.FileField` whose links are URLs of a file server.

    starlette-admin's own field takes only keys without a slash, and links to a route of the admin.
    """

    edits_each: bool = False


@dataclass
class StoredImageField(_StoredField, ImageField):
    """A `starlette_admin.ImageField` whose images are URLs of a file server.

    Lists show the thumbnail, where there is one. Whether it is an image is decided by the column.
    """

    edits_each: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # The first one decodes the image, as the column will.
        self.validators: Any = self.validators[1:]


class FilesPlugin(BasePlugin):
    """A plugin of `Admin`: file columns have fields that link to URLs of ``server``.

        admin = Admin(engine, plugins=[FilesPlugin(server)])

    Pass it when `Admin` is created.
    """

    name: ClassVar[str] = "sqlalchemy-file"
    package: ClassVar[str | None] = "sqlalchemy_file.integrations"

    def __init__(self, server: FileServer) -> None:
        self.server = server

    def setup(self, admin: BaseAdmin) -> None:
        """Register the fields for `FileField` and `ImageField` columns."""
        kinds = {types.FileField: StoredFileField, types.ImageField: StoredImageField}
        for column_type, kind in kinds.items():
            register_converter(column_type)(_converter(kind))

    def on_mount(self, admin: BaseAdmin) -> None:
        """Give the server to the fields."""
        setattr(admin.app.state, _SERVER, self.server)


class FilesView:
    """A mixin for a `ModelView`: each of several files can be replaced or removed.

    Name it before `ModelView`. Uploads are appended; without this mixin they replace all files. An
    export is a ZIP archive with the files.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields  # type: ignore[attr-defined]
        for field in fields:
            if isinstance(field, StoredFileField | StoredImageField):
                field.edits_each = True
                field.plain_template = field.form_template
                template = "files.html" if field.multiple else "file.html"
                field.form_template = f"plugins/sqlalchemy-file/{template}"

    def get_fields_list(self, request: Request, **options: Any) -> Any:
        """Return the fields of an action; an export contains the files themselves."""
        fields = super().get_fields_list(request, **options)  # type: ignore[misc]
        is_export = (options.get("action") or request.state.action) == RequestAction.EXPORT
        return [_with_files(field) for field in fields] if is_export else fields

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Change the row: its files keep their order, and the form replaces or removes some."""
        edited = {name: value.change for name, value in data.items() if isinstance(value, _Edited)}
        if edited:
            row = await self.find_by_pk(request, pk)  # type: ignore[attr-defined]
            for name, change in edited.items():
                now = getattr(row, name)
                if isinstance(change, OneFile):
                    data[name] = change.chosen, change.applied(now) is None
                else:
                    data[name] = self._several(name, change, now)
        return await super().edit(request, pk, data)  # type: ignore[misc]

    def _several(self, name: str, change: SeveralFiles, now: Any) -> tuple[Any, bool]:
        files = change.applied(now) if change else []
        fields: Any = self.fields  # type: ignore[attr-defined]
        is_required = any(field.required for field in fields if field.name == name)
        if change and not files and is_required:
            raise FormValidationError({name: gettext(_REQUIRED)})
        return files, bool(change) and not files

    async def handle_exception(self, request: Request, exc: Exception) -> None:
        """Show all refused files in the form; starlette-admin shows the first one."""
        if isinstance(exc, ValidationErrors):
            errors: dict[Any, Any] = {}
            for refusal in exc.refusals:
                shown = f"{refusal.as_dict()['filename']}: {refusal.msg}"
                errors[refusal.key] = " ".join(filter(None, [errors.get(refusal.key), shown]))
            raise FormValidationError(errors)
        await super().handle_exception(request, exc)  # type: ignore[misc]


class _Exports(BaseStorage):
    """The storage from which starlette-admin reads the files of an export; it stores nothing.

    Without it, an export fails for a row without a file, and requests the files from the server
    that it is running in.
    """

    async def read(self, key: str) -> bytes:
        """Return the bytes of a file; a missing one is left out of the export."""
        try:
            return await in_thread(partial(_content, key.rpartition("/")[0]))
        except UnknownStorageError as error:
            raise FileNotFoundError(key) from error

    async def _refuse(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError

    save: Any = _refuse
    url: Any = _refuse
    delete: Any = _refuse


_exports = _Exports("files")


def _content(path: str) -> bytes:
    with StorageManager.get_file(path) as file:
        return file.read()


def _with_files(field: Any) -> Any:
    if not isinstance(field, _StoredField):
        return field
    exporting: Any = copy(field)
    exporting.storage = _exports
    return exporting


def _converter(kind: type[Any]) -> Any:
    def convert(*args: Any, **kwargs: Any) -> Any:
        common = ModelConverter()._field_common(*args, **kwargs)
        return kind(**common, multiple=kwargs["type"].multiple)

    return convert


def _for_each(value: Any, serialized: Callable[[File], Any]) -> Any:
    if isinstance(value, list):
        return [_for_each(each, serialized) for each in value]
    return serialized(value) if isinstance(value, File) and value.saved else None


def _shown(server: FileServer, file: File) -> dict[str, Any]:
    small = "thumbnail" if isinstance(file.get("thumbnail"), Mapping) else None
    return {
        "filename": file.get("filename"),
        "content_type": file.get("content_type"),
        "token": token_of(file),
        "url": resolved_url(server.url_for, file) or "",
        "thumbnail_url": resolved_url(server.url_for, file, small) or "",
    }


def _exported(file: File) -> dict[str, Any] | None:
    path, name = own_path(file), clean_filename(str(file.get("filename") or UNNAMED))
    return None if path is None else {"storage": _exports.name, "key": f"{path}/{name}"}
