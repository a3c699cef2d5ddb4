"""What a type checker sees of typed user code. It is checked, never run.

An ``ignore`` here is a test too: mypy complains of one that hides no error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, assert_type

from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from libcloud.storage.drivers.local import LocalStorageDriver
from litestar import asgi
from litestar.types import Receive, Send
from litestar.types import Scope as LitestarScope
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import SizeValidationError, ValidationError
from sqlalchemy_file.integrations.msgspec import PublicFile
from sqlalchemy_file.processors import Processor, ThumbnailGenerator
from sqlalchemy_file.serving import (
    FileServer,
    RequestFacts,
    Target,
    public_record,
    set_url_resolver,
)
from sqlalchemy_file.storage import StoredFile
from sqlalchemy_file.transforms import Convert, Fit, StripMetadata, Transform
from sqlalchemy_file.validation import validate
from sqlalchemy_file.validators import (
    ContentTypeValidator,
    ImageValidator,
    SizeValidator,
    Validator,
)


class Document(File):
    """A file class of the user's own."""


class NotOnFriday(Validator):
    def process(self, file: File, attr_key: str) -> None:
        raise ValidationError(attr_key, f"{file.filename} has to wait")


class Summary(Processor):
    def process(self, file: File, upload_storage: str | None = None) -> None:
        stored = file.store_content(b"summary", upload_storage, name="summary.txt")
        assert_type(stored, StoredFile)


class Upper(Transform):
    def transform(self, file: File, attr_key: str) -> bytes:
        return file.original_content.read().upper()


def reversed_content(content: BinaryIO) -> bytes:
    return content.read()[::-1]


class Base(DeclarativeBase):
    pass


class Attachment(Base):
    __tablename__ = "attachment"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[File | None] = mapped_column(FileField)
    pages: Mapped[list[File]] = mapped_column(FileField(multiple=True, upload_type=Document))
    report: Mapped[File | None] = mapped_column(
        FileField(
            upload_storage=lambda file: "archive" if file.size > 1000 else None,
            key=lambda file: f"reports/{file.filename}",
            validators=[SizeValidator("1M"), ContentTypeValidator(["text/*"]), NotOnFriday()],
            processors=[Summary()],
            on_release="keep",
        )
    )
    photo: Mapped[File | None] = mapped_column(
        ImageField(
            thumbnail_size=(128, 128),
            image_validator=ImageValidator(max_wh=(1000, 1000)),
            transforms=[
                StripMetadata(),
                Fit(2048, 2048),
                Convert("AVIF"),
                Upper(),
                reversed_content,
            ],
            processors=[ThumbnailGenerator((32, 32), "PNG")],
        )
    )


def add_storages() -> None:
    container = LocalStorageDriver("storage").get_container("attachment")
    StorageManager.add_storage("default", container)
    StorageManager.add_storage("archive", "file:///archive")
    assert_type(StorageManager.get_default(), str)
    assert_type(StorageManager.get_file("default/key"), StoredFile)


def make_files(stream: BinaryIO) -> list[File]:
    return [
        File(b"bytes", filename="a.txt", content_type="text/plain"),
        File("text", storage="archive", caption="an extra key"),
        File(stream),
        File(Path("a.txt")),
        File(content_path="a.txt"),
        Document(iter([b"several", b"chunks"])),
    ]


def use(session: Session, attachment: Attachment, stream: BinaryIO) -> None:
    assert_type(attachment.content, File | None)
    assert_type(attachment.pages, list[File])
    attachment.content = None
    attachment.content = File(stream)
    attachment.pages.append(File("page"))
    attachment.content = 5  # type: ignore[assignment]
    attachment.pages = File("page")  # type: ignore[assignment]
    session.add(attachment)
    session.commit()


async def use_async(session: AsyncSession) -> bytes | None:
    attachment = await session.get(Attachment, 1)
    if attachment is None or attachment.content is None:
        return None
    return read(attachment.content)


def read(file: File) -> bytes:
    with file.file as stored:
        assert_type(stored, StoredFile)
        assert_type(stored.filename, str)
        first = stored.read(10)
        stored.seek(0)
        for chunk in stored.stream(1024):
            assert_type(chunk, bytes)
    return first


def refused(error: SizeValidationError) -> str:
    return f"{error.key}: {error.msg}"


def known_keys(attachment: Attachment) -> None:
    file = attachment.content
    assert file is not None
    assert_type(file.filename, str)
    assert_type(file.size, int)
    assert_type(file.url, str | None)
    file.filenam  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def derived(file: File, server: FileServer) -> str:
    small = file.variant("small")
    assert_type(small.width, int | None)
    assert_type(small.file, StoredFile)
    assert_type(server.srcset([small]), str)
    return server.url_for(small, disposition="inline")


def mounted(server: FileServer) -> tuple[object, ...]:
    return (
        Mount(server.path, app=server.asgi),
        AsyncioDispatcherMiddleware({server.path: server.asgi}),
        DispatcherMiddleware(server.wsgi, {server.path: server.wsgi}),
    )


async def mounted_in_litestar(
    server: FileServer, scope: LitestarScope, receive: Receive, send: Send
) -> object:
    await server.asgi(scope, receive, send)
    return asgi(server.path, is_mount=True, copy_scope=True)(server.asgi)


def may_read(request: RequestFacts, target: Target) -> bool:
    return request.headers.get("x-tenant") == target.storage


async def may_read_async(request: RequestFacts, target: Target) -> bool:
    return may_read(request, target)


def shown(attachment: Attachment) -> dict[str, object] | None:
    set_url_resolver(FileServer(authorize=may_read_async).url_for)
    assert_type(public_record(None), None)
    if attachment.report is not None:
        assert_type(public_record(attachment.report), dict[str, Any])
        assert_type(PublicFile.of(attachment.report), PublicFile)
    assert_type(PublicFile.of(attachment.content), PublicFile | None)
    return public_record(attachment.content)


def validate_first(session: Session, content: bytes) -> File:
    validate(session)
    return File(content).validated_for(Attachment.content)


async def validate_first_async(session: AsyncSession, content: bytes) -> File:
    await validate(session)
    return await File(content).avalidated_for(Attachment.content)
