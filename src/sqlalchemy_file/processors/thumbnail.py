"""Thumbnails."""

from __future__ import annotations

from sqlalchemy_file.file import File, Processor
from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.imaging.variant import Variant
from sqlalchemy_file.processors.derived import rendered, require_writable, store


class ThumbnailGenerator(Processor):
    """Stores a small, upright image, and its record as ``thumbnail``.

        FileField(processors=[ThumbnailGenerator((128, 128))])

    It fits into ``thumbnail_size`` (width, height) and is never larger than the original. It shows
    the first frame of an animation. A file that is not an image, or has more than ``max_pixels``
    pixels, raises `InvalidImageError`.
    """

    decodes = True

    def __init__(
        self,
        thumbnail_size: tuple[int, int] = (128, 128),
        thumbnail_format: str = "PNG",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        require_writable([thumbnail_format], type(self).__name__)
        self.thumbnail_size = thumbnail_size
        self.thumbnail_format = thumbnail_format
        self.max_pixels = max_pixels
        self._variant = Variant(thumbnail_size, thumbnail_format)

    @property
    def scaled_copies(self) -> list[Variant]:
        """The variants to make of every file, in one pass with those of other processors."""
        return [self._variant]

    def process(self, file: File, upload_storage: str | None = None) -> None:
        copies = rendered(file, {"thumbnail": self._variant}, "thumbnail", self.max_pixels)
        file["thumbnail"] = store(file, copies["thumbnail"], "thumbnail", upload_storage)
