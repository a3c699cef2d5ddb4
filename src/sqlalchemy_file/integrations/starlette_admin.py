"""starlette-admin: file columns whatever their keys, with URLs of a file server.

>>> admin = Admin(engine, plugins=[FilesPlugin(server)])
>>> admin.add_view(ModelView(Letter))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from starlette_admin.contrib.sqla.converters import ModelConverter, register_converter
from starlette_admin.fields import FileField, ImageField
from starlette_admin.plugins import BasePlugin

from sqlalchemy_file import types
from sqlalchemy_file.file import File

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette_admin.base import BaseAdmin

    from sqlalchemy_file.serving import FileServer

__all__ = ["FilesPlugin", "StoredFileField", "StoredImageField"]


@dataclass
class StoredFileField(FileField):
    """A `starlette_admin.FileField` whose links are URLs of a file server.

    starlette-admin's own field takes only keys without a slash, and links to a route that shows
    whatever was uploaded.
    """

    server: FileServer | None = None

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """Return what the templates show of the files."""
        return _serialized(self.server, value)


@dataclass
class StoredImageField(ImageField):
    """A `starlette_admin.ImageField` whose images are URLs of a file server.

    Lists show the thumbnail, where there is one. Whether it is an image is decided by the column.
    """

    server: FileServer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.validators = self.validators[1:]  # the first decodes the image, as the column will

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """Return what the templates show of the images."""
        return _serialized(self.server, value)


class FilesPlugin(BasePlugin):
    """Lets all views show file columns with URLs of ``server``; name it when `Admin` is made."""

    name: ClassVar[str] = "sqlalchemy-file"

    def __init__(self, server: FileServer) -> None:
        self.server = server

    def setup(self, admin: BaseAdmin) -> None:
        """Register the fields for `FileField` and `ImageField` columns."""
        kinds = {types.FileField: StoredFileField, types.ImageField: StoredImageField}
        for column_type, kind in kinds.items():
            register_converter(column_type)(_converter(kind, self.server))


def _converter(kind: type[Any], server: FileServer) -> Any:
    def convert(*args: Any, **kwargs: Any) -> Any:
        common = ModelConverter()._field_common(*args, **kwargs)
        return kind(**common, multiple=kwargs["type"].multiple, server=server)

    return convert


def _serialized(server: FileServer | None, value: Any) -> Any:
    if isinstance(value, list):
        return [_serialized(server, each) for each in value]
    if not isinstance(value, File) or not value.saved:
        return None
    shown = {"filename": value.get("filename"), "content_type": value.get("content_type")}
    small = "thumbnail" if isinstance(value.get("thumbnail"), Mapping) else None
    url_for = _permanent if server is None else server.url_for
    return {**shown, "url": url_for(value), "thumbnail_url": url_for(value, variant=small)}


def _permanent(file: File, *, variant: str | None = None) -> str:
    """Return the URL of a public storage; without a server, the others have none."""
    return str((file if variant is None else file[variant]).get("url") or "")
