"""Image transforms: consecutive ones decode and encode an image once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.file import File, Transform
from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS, require_pillow
from sqlalchemy_file.imaging.variant import is_size, require_quality
from sqlalchemy_file.values.state import state_of

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.editing import Edit, Edited


class PictureTransform(Transform):
    """The base class of image transforms. Files of other types are left unchanged."""

    decodes = True
    max_pixels: int = MAX_PIXELS

    def __init__(self) -> None:
        require_pillow(type(self).__name__)

    @abstractmethod
    def edit(self, wanted: Edit) -> Edit:
        """Return the edit ``wanted`` with the changes of this transform."""

    def transform(self, file: File, attr_key: str) -> Any:
        return JoinedPictures([self]).transform(file, attr_key)


class Fit(PictureTransform):
    """Scales down images that are wider or higher than ``width`` and ``height``.

        ImageField(transforms=[Fit(2048, 2048)])

    Smaller images are left unchanged. Animations keep their frames.
    """

    def __init__(self, width: int, height: int, *, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__()
        if not is_size((width, height)):
            raise ValueError(f"an image fits into pixels, not into {width!r} x {height!r}")
        self.width = width
        self.height = height
        self.max_pixels = max_pixels

    def edit(self, wanted: Edit) -> Edit:
        return wanted.within(self.width, self.height)


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


class JoinedPictures(Transform):
    """Several transforms of an image, done at once."""

    def __init__(self, transforms: Sequence[PictureTransform]) -> None:
        self._transforms = transforms
        self._max_pixels = min(each.max_pixels for each in transforms)
        self.decodes: bool = any(each.decodes for each in transforms)

    def transform(self, file: File, attr_key: str) -> Any:
        from sqlalchemy_file.imaging import editing  # noqa: PLC0415  Pillow is optional

        if not file["content_type"].startswith("image/"):
            return
        wanted = editing.Edit()
        for each in self._transforms:
            wanted = each.edit(wanted)
        edited = editing.edit(
            file.original_content,
            file._state.decoded_for or attr_key,
            wanted,
            file._state.wanted_copies,
            formats=(*COPIED_FORMATS, file._state.accepted_format),
            # Making copies decodes it to its end as well.
            must_decode=file._state.decoded_for is not None and not file._state.wanted_copies,
            max_pixels=self._max_pixels,
        )
        if edited is not None:
            _take(file, edited, is_stripped=wanted.is_stripped)


def _take(file: File, edited: Edited, *, is_stripped: bool) -> None:
    if edited.suffix is not None:
        stem = PurePosixPath(file["filename"]).stem
        file["filename"] = clean_filename(f"{stem}.{edited.suffix}")
    file.original_content = edited.content
    state_of(file).made_copies = edited.copies
    file.update(width=edited.width, height=edited.height, orientation=1)
    if is_stripped:
        file["removed_metadata"] = sorted(edited.removed)
