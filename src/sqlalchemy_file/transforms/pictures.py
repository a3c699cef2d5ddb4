"""Image transforms: decoded and encoded once for consecutive transforms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.file import File, Transform
from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS, require_pillow
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
