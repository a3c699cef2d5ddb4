"""Strawberry: a GraphQL type for files, ``File { filename contentType size url(variant) }``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, overload

import strawberry

from sqlalchemy_file.values.schemas import public_record

__all__ = ["FileType", "FileVariantType"]


@strawberry.type(name="FileVariant", description="A thumbnail or a variant of an image.")
class FileVariantType:
    """A thumbnail or a variant of an image."""

    name: str
    content_type: str | None = None
    size: float | None = strawberry.field(description="in bytes", default=None)
    width: int | None = None
    height: int | None = None
    url: str | None = None


def _url(root: FileType, variant: str | None = None) -> str | None:
    if variant is None:
        return root.address
    return next((each.url for each in root.variants if each.name == variant), None)


@strawberry.type(name="File", description="A stored file.")
class FileType:
    """The public part of a file, as `sqlalchemy_file.serving.public_record` returns it.

        @strawberry.field
        def scan(self, letter: int) -> FileType | None:
            return FileType.of(session.get_one(Letter, letter).scan)

    The type is named ``File`` in the schema.
    """

    filename: str | None = None
    content_type: str | None = None
    # An Int of GraphQL has 32 bits, and a file may have more bytes than that.
    size: float | None = strawberry.field(description="in bytes", default=None)
    checksum: str | None = strawberry.field(
        description="sha256: and 64 hexadecimal digits", default=None
    )
    width: int | None = None
    height: int | None = None
    placeholder: str | None = None
    variants: list[FileVariantType] = strawberry.field(default_factory=list)
    url: str | None = strawberry.field(
        resolver=_url, description="The URL of the file, or of one of its variants."
    )
    address: strawberry.Private[str | None] = None

    @overload
    @classmethod
    def of(cls, file: None) -> None: ...
    @overload
    @classmethod
    def of(cls, file: Mapping[str, Any]) -> Self: ...
    @classmethod
    def of(cls, file: Mapping[str, Any] | None) -> Self | None:
        """Return the public part of a file; None for None."""
        shown = public_record(file)
        if shown is None:
            return None
        parts = {**shown.pop("variants", {})}
        if "thumbnail" in shown:
            parts["thumbnail"] = shown.pop("thumbnail")
        variants = [FileVariantType(name=name, **part) for name, part in parts.items()]
        return cls(address=shown.pop("url", None), variants=variants, **shown)
