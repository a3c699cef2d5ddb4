"""Removal of metadata from images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.transforms.pictures import PictureTransform

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.editing import Edit


class StripMetadata(PictureTransform):
    """Removes EXIF with its GPS data, XMP, IPTC and comments from images.

        ImageField(transforms=[StripMetadata()])

    The EXIF orientation is applied first. JPEG, PNG, WEBP and GIF that are upright already are not
    encoded again, and lose no quality. ``removed_metadata`` of the file lists the removed kinds.
    Colour profiles stay. An image that cannot be decoded is refused.
    """

    decodes = False  # not always

    def __init__(self, *, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__()
        self.max_pixels = max_pixels

    def edit(self, wanted: Edit) -> Edit:
        return replace(wanted, is_stripped=True)
