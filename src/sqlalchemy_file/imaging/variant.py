"""What a scaled copy is to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """A scaled copy: it fits into ``size`` (width, height) and is never larger than the original.

    ``format`` is Pillow's name of one it can write. ``quality`` is that of JPEG, WEBP and AVIF,
    from 1 to 100; None is a sensible one for each.
    """

    size: tuple[int, int]
    format: str = "WEBP"
    quality: int | None = None

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f"size is (width, height) in pixels, not {self.size!r}")
        object.__setattr__(self, "size", tuple(self.size))  # a list could not be hashed
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality is a number from 1 to 100, not {self.quality!r}")

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """Return the size of the copy of a picture, as close to its shape as pixels allow."""
        most_width, most_height = self.size
        if most_width >= width and most_height >= height:
            return width, height
        shape = width / height
        if most_width / most_height >= shape:
            exact = most_height * shape
            return _nearest(exact, lambda n: abs(shape - n / most_height)), most_height
        exact = most_width / shape
        return most_width, _nearest(exact, lambda n: abs(shape - most_width / max(n, 0.5)))


def _nearest(exact: float, error: Callable[[int], float]) -> int:
    return max(min(math.floor(exact), math.ceil(exact), key=error), 1)
