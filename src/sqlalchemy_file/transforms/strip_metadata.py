"""Pictures that say nothing about place, camera and author."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.transforms.pictures import PictureTransform

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.editing import Edit


class StripMetadata(PictureTransform):
    """Removes EXIF with its GPS data, XMP, IPTC, comments and all else that is no picture.

    A turn that EXIF asks for is applied first. JPEG, PNG, WEBP and GIF that need none lose no
    quality: they are not encoded anew. The kinds that were removed are added to the file, as
    ``removed_metadata``. Colour profiles stay. A picture that cannot be read is refused.
    """

    decodes = False  # not always

    def __init__(self, *, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__()
        self.max_pixels = max_pixels

    def edit(self, wanted: Edit) -> Edit:
        return replace(wanted, is_stripped=True)
