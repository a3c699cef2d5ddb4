"""Conversion of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.imaging.variant import require_quality
from sqlalchemy_file.transforms.pictures import PictureTransform

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.editing import Edit


class Convert(PictureTransform):
    """Converts images: ``Convert("AVIF")``, ``Convert("JPEG", quality=90)``.

    ``format`` is Pillow's name of a format that it writes; the file name gets its suffix.
    ``options`` go to Pillow's encoder. Animations keep their frames in GIF, PNG, WEBP and AVIF;
    otherwise the first frame is kept. Images that have the format are left unchanged.
    """

    def __init__(
        self,
        format: str,  # noqa: A002  Pillow's word
        quality: int | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__()
        from sqlalchemy_file.imaging import encoding  # noqa: PLC0415  Pillow is optional

        encoding.require_encoders([format])
        require_quality(quality)
        self.format = format
        self.options: dict[str, Any] = {} if quality is None else {"quality": quality}
        self.options.update(options or {})
        self.max_pixels = max_pixels

    def edit(self, wanted: Edit) -> Edit:
        return replace(wanted, format=self.format, options=self.options)
