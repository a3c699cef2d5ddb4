"""Open and decode untrusted images.

Only the named decoders see the bytes, the header is checked before anything is decoded, and every
exception of a decoder becomes an `InvalidImageError`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO, cast

from PIL import Image

from sqlalchemy_file.exceptions import InvalidImageError, ValidationError
from sqlalchemy_file.imaging import MAX_PIXELS
from sqlalchemy_file.imaging.formats import HEIF, load_heif

JPEG = ("JPEG", "MPO")
ON_ITS_SIDE = (5, 6, 7, 8)
_ORIENTATION = 0x0112
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")

# The frames of an animation are decoded one by one: they cost time, not memory. Opening one
# costs as much as decoding 64 x 64 pixels, so a frame counts as no less.
_ANIMATION_FACTOR = 4
_LEAST_FRAME = 64 * 64

# While they are decoded, up to four canvases are in memory: the frame, the one before it, what the
# file restores behind it, and the result. Pillow decodes any WEBP and AVIF as an animation.
_HELD = 4
_ALWAYS_HELD = ("WEBP", "AVIF")

# A file of a few kilobytes may decode to hundreds of megabytes. However many threads there are,
# one image that takes this many pixels of memory is decoded at a time.
_LARGE = 16_000_000
_large_picture = threading.Lock()

_quiet_lock = threading.Lock()


class _RefusedError(ValueError):
    """An image is beyond the limits; ``code`` and ``params`` say so to programs."""

    def __init__(self, message: str, code: str, **params: int) -> None:
        super().__init__(message)
        self.code = code
        self.params = params


@contextmanager
def decoding(
    content: BinaryIO, key: str, *, formats: Collection[str], max_pixels: int
) -> Iterator[Image.Image]:
    """Open an image for a block that decodes it; nothing but the header is read before.

    What goes wrong in the block is raised as `InvalidImageError` for ``key``, except an error
    of ``content`` itself. Afterwards the stream stands at its start, as before.
    """
    source = _Source(content)
    source.seek(0)
    try:
        with _opened(source, formats) as image:
            _require_size(image.size, max_pixels)
            with _large_picture if _is_large(image) else nullcontext():
                yield image
    except ValidationError:
        raise
    except _RefusedError as refused:
        raise InvalidImageError(
            key, str(refused), code=refused.code, params=refused.params
        ) from None
    except Image.DecompressionBombError as error:
        # Far beyond Pillow's own limit, too, so that it does not say how large.
        message = f"The image is too large. Allowed maximum is {max_pixels} pixels."
        raise InvalidImageError(
            key, message, code="too_many_pixels", params={"max_pixels": max_pixels}
        ) from error
    except Exception as error:
        if source.error is not None:
            raise source.error from None
        raise InvalidImageError(key, "Provide valid image file") from error
    finally:
        content.seek(0)


def read_through(image: Image.Image, max_pixels: int) -> None:
    """Decode an image to its end, every frame of it, as cheaply as that can be done."""
    if image.format in JPEG:
        # Every byte is read, but one brightness a block of 8 x 8 pixels is all that is made of it.
        image.draft("L", (1, 1))
    frames = frame_count(image)
    _require_frames(image.size, frames, max_pixels)
    image.load()
    for number in range(1, frames):
        image.seek(number)
        _require_size(image.size, max_pixels)
        image.load()


def is_decoded_by_copying(image: Image.Image) -> bool:
    """Tell whether making a scaled copy decodes all of an image: of an animation, it does not."""
    return frame_count(image) == 1


def size_as_seen(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image once it is turned as its EXIF asks for."""
    return turned_size(image.size, orientation_of(image))


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return width and height of an image once it is turned by an orientation."""
    return (size[1], size[0]) if orientation in ON_ITS_SIDE else size


def orientation_of(image: Image.Image) -> int:
    """Return how an image is to be turned, by its EXIF: from 1, upright, to 8.

    A PNG that is not decoded yet would be, to look for notes behind its pixels: it is not asked.
    A TIFF has the size that is seen and is turned by Pillow, when it is decoded.
    """
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and "exif" not in image.info and getattr(image, "tile", None):
        return 1
    with quiet():
        try:
            found = int(image.getexif().get(_ORIENTATION, 1))
        except Exception:  # noqa: BLE001  a picture is no worse for unreadable notes about it
            return 1
    return found if 1 <= found <= 8 else 1


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's remarks on odd but readable files: they are for programmers, not for users.

    Only Pillow's, and only while a header is read: warning filters belong to all threads.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _opened(source: _Source, formats: Collection[str]) -> Image.Image:
    Image.init()
    if HEIF in formats and source.read(12)[4:8] == b"ftyp":
        load_heif()
    source.seek(0)
    known = [name for name in formats if name in Image.OPEN]
    with quiet():
        return Image.open(cast("BinaryIO", source), formats=known)


def frame_count(image: Image.Image) -> int:
    """Return how many frames an image has, of the formats in which these are an animation."""
    return getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1


def require_one_page(image: Image.Image) -> None:
    """Refuse a document of several pages, all but one of which would be lost."""
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > 1:
        raise _RefusedError(
            f"The image has {pages} pages. Only one can be changed.", "several_pages", pages=pages
        )


def require_animation(image: Image.Image, size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an animation whose frames take too long to decode, or too much memory at ``size``."""
    frames = frame_count(image)
    _require_frames(image.size, frames, max_pixels)
    if size[0] * size[1] * frames > max_pixels:
        raise _RefusedError(
            f"The animation is too long ({frames} frames of {size[0]} x {size[1]} pixels). "
            f"Allowed maximum is {max_pixels} pixels in memory.",
            "too_many_frames",
            **_counted(size, frames, max_pixels),
        )


def _require_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _RefusedError(
            f"The image is too large ({width} x {height} pixels). "
            f"Allowed maximum is {max_pixels} pixels.",
            "too_many_pixels",
            width=width,
            height=height,
            max_pixels=max_pixels,
        )


def _require_frames(size: tuple[int, int], frames: int, max_pixels: int) -> None:
    """Let all frames of an animation keep within one budget of time, and one of memory."""
    if frames == 1:
        return
    pixels, in_all = size[0] * size[1], max_pixels * _ANIMATION_FACTOR
    at_once = max(max_pixels, MAX_PIXELS)
    shown = f"{frames} frames of {size[0]} x {size[1]} pixels"
    if max(pixels, _LEAST_FRAME) * frames > in_all:
        raise _RefusedError(
            f"The animation is too long ({shown}). Allowed maximum is {in_all} pixels in all.",
            "too_many_frames",
            **_counted(size, frames, in_all),
        )
    if pixels * min(frames, _HELD) > at_once:
        raise _RefusedError(
            f"The animation is too large ({shown}). "
            f"Allowed maximum is {at_once} pixels in any {_HELD} frames.",
            "too_many_frames",
            **_counted(size, frames, at_once),
        )


def _counted(size: tuple[int, int], frames: int, max_pixels: int) -> dict[str, int]:
    return {"frames": frames, "width": size[0], "height": size[1], "max_pixels": max_pixels}


def _is_large(image: Image.Image) -> bool:
    # A baseline JPEG is decoded line by line, to a reduced size.
    if image.format in JPEG and not image.info.get("progressive"):
        return False
    pixels = image.width * image.height
    if pixels * _HELD <= _LARGE:
        return False
    is_held = image.format in _ALWAYS_HELD or getattr(image, "is_animated", False)
    return is_held or pixels > _LARGE


class _Source:
    """The stream that decoders read; it keeps the error with which a read of it failed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: BaseException | None = None
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except BaseException as error:
            self.error = error
            raise

    def readline(self, size: int = -1) -> bytes:
        try:
            return self._stream.readline(size)
        except BaseException as error:
            self.error = error
            raise
