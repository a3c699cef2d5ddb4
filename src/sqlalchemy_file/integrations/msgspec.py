"""msgspec: the public record of a file as a struct.

msgspec would encode a `File` as a dict with storage and path, so use these structs instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, overload

import msgspec

from sqlalchemy_file.values.schemas import public_record

__all__ = ["PublicFile", "PublicVariant"]


class PublicVariant(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A thumbnail or a variant of an image."""

    content_type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    url: str | None = None


class PublicFile(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The public part of a file, as `sqlalchemy_file.serving.public_record` returns it.

        msgspec.json.encode(PublicFile.of(letter.scan))

    Values that the record lacks are left out.
    """

    filename: str | None = None
    content_type: str | None = None
    size: int | None = None
    checksum: str | None = None
    width: int | None = None
    height: int | None = None
    placeholder: str | None = None
    thumbnail: PublicVariant | None = None
    variants: dict[str, PublicVariant] | None = None
    url: str | None = None

    @overload
    @classmethod
    def of(cls, file: None) -> None: ...
    @overload
    @classmethod
    def of(cls, file: Mapping[str, Any]) -> Self: ...
    @classmethod
    def of(cls, file: Mapping[str, Any] | None) -> Self | None:
        """Return the public part of a file; None for None."""
        return None if file is None else msgspec.convert(public_record(file), cls)
