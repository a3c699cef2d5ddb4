"""Scaling of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.imaging.variant import is_size
from sqlalchemy_file.transforms.pictures import PictureTransform

if TYPE_CHECKING:
    from sqlalchemy_file.imaging.editing import Edit


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
