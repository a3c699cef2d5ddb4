"""The description of a scaled image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Size = tuple[int, int]
_FITS = ("contain", "cover", "pad")


class Plan(NamedTuple):
    """How a copy is made of an image of some size, as it is seen.

    ``box`` is the part of the image that the copy shows, each number from 0 to 1. ``whole`` is
    the size that all of the image has at the copy's scale, ``size`` that of the part, and
    ``canvas`` that of the copy.
    """

    whole: Size
    box: tuple[float, float, float, float]
    size: Size
    canvas: Size


_ALL = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Variant:
    """A scaled image that fits into ``size`` (width, height).

    ``format`` is Pillow's name of a format that it writes. ``quality``, for JPEG, WEBP and AVIF, is
    1 to 100; None is a sensible value for each. ``options`` go to Pillow's encoder.

    ``fit="contain"`` shows all of the image. ``"cover"`` crops it to the shape of ``size`` around
    ``focal``, a point from (0, 0), top left, to (1, 1). ``"pad"`` shows all of it on a background
    of exactly ``size``. ``background`` is the colour of that background, and of transparent parts
    in formats without transparency; None is transparent, or white.

    Smaller images are only enlarged with ``upscale``. ``sharpen`` is in per cent, 50 to 100 for a
    slight effect; only scaled-down images are sharpened. ``animated`` keeps the frames of an
    animation, in formats that have frames.
    """

    size: Size
    format: str = "WEBP"
    quality: int | None = None
    fit: str = "contain"
    focal: tuple[float, float] = (0.5, 0.5)
    background: str | None = None
    upscale: bool = False
    sharpen: int = 0
    animated: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not is_size(self.size):
            raise ValueError(f"size is (width, height) in pixels, not {self.size!r}")
        object.__setattr__(self, "size", tuple(self.size))  # a list could not be hashed
        object.__setattr__(self, "focal", tuple(self.focal))
        object.__setattr__(self, "options", dict(self.options))
        require_quality(self.quality)
        if self.fit not in _FITS:
            raise ValueError(f"fit is one of {', '.join(_FITS)}, not {self.fit!r}")
        if len(self.focal) != 2 or not all(0 <= n <= 1 for n in self.focal):
            raise ValueError(f"focal is (x, y), each from 0 to 1, not {self.focal!r}")
        if not 0 <= self.sharpen <= 500:
            raise ValueError(f"sharpen is in per cent, from 0 to 500, not {self.sharpen!r}")

    def plan(self, width: int, height: int) -> Plan:
        """Return how an image of this size is scaled."""
        if self.fit == "cover":
            return self._covering(width, height)
        size = self.fitted(width, height)
        return Plan(size, _ALL, size, self.size if self.fit == "pad" else size)

    def fitted(self, width: int, height: int) -> Size:
        """Return the size of a contained image, as close to its shape as pixels allow."""
        most_width, most_height = self.size
        if most_width >= width and most_height >= height and not self.upscale:
            return width, height
        shape = width / height
        if most_width / most_height >= shape:
            exact = most_height * shape
            return _nearest(exact, lambda n: abs(shape - n / most_height)), most_height
        exact = most_width / shape
        return most_width, _nearest(exact, lambda n: abs(shape - most_width / max(n, 0.5)))

    def _covering(self, width: int, height: int) -> Plan:
        most_width, most_height = self.size
        shape = most_width / most_height
        part = min(width, height * shape), min(height, width / shape)
        is_enough = part[0] >= most_width or self.upscale
        size = self.size if is_enough else (max(round(part[0]), 1), max(round(part[1]), 1))
        scale = size[0] / part[0]
        whole = max(round(width * scale), 1), max(round(height * scale), 1)
        left, right = _around(self.focal[0], part[0] / width)
        top, bottom = _around(self.focal[1], part[1] / height)
        return Plan(whole, (left, top, right, bottom), size, size)


def is_size(size: Any) -> bool:
    """Return True for a width and a height in pixels."""
    is_pair = isinstance(size, tuple | list) and len(size) == 2
    return is_pair and all(isinstance(n, int) and n > 0 for n in size)


def require_quality(quality: int | None) -> None:
    """Raise `ValueError` unless a quality is from 1 to 100, or None."""
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality is a number from 1 to 100, not {quality!r}")


def _around(point: float, part: float) -> tuple[float, float]:
    """Return the begin and the end of a part of 0 to 1, around a point as far as possible."""
    begin = min(max(point - part / 2, 0.0), 1.0 - part)
    return begin, begin + part


def _nearest(exact: float, error: Callable[[int], float]) -> int:
    return max(min(math.floor(exact), math.ceil(exact), key=error), 1)


PLACEHOLDER_FORMAT = "THUMBHASH"
PLACEHOLDER = Variant((24, 24), PLACEHOLDER_FORMAT)
"""The variant that is stored as a hash only. Its few frequencies need no more pixels."""
