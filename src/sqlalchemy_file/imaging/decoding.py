"""Open and decode untrusted images: the formats, their content types, and the limits.

Only the named decoders see the bytes, the header is checked before anything is decoded, and every
exception of a decoder becomes an `InvalidImageError`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import BinaryIO, cast

from PIL import ExifTags, Image

from sqlalchemy_file.detection import canonical
from sqlalchemy_file.exceptions import InvalidImageError, MissingExtraError, ValidationError
from sqlalchemy_file.imaging import MAX_PIXELS

HEIF = "HEIF"

_ALIASES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": HEIF, "JP2": "JPEG2000"}

# Pillow knows one type of a format at most, and some that are not in use.
_TYPES = {
    "DDS": ("image/vnd.ms-dds",),
    "FITS": ("image/fits",),
    HEIF: ("image/heif", "image/heic", "image/heic-sequence", "image/heif-sequence"),
    "ICO": ("image/x-icon",),
    "CUR": ("image/x-icon",),
    "JPEG2000": ("image/jp2", "image/j2c", "image/jpx"),
    "MPO": ("image/jpeg",),
    "PCX": ("image/vnd.zbrush.pcx",),
    "PPM": tuple(
        f"image/x-portable-{kind}"
        for kind in ("anymap", "bitmap", "graymap", "pixmap", "floatmap", "arbitrarymap")
    ),
    "QOI": ("image/qoi",),
    "SGI": ("image/x-sgi",),
    "SUN": ("image/x-sun-raster",),
    "TGA": ("image/x-tga",),
    "WMF": ("image/wmf", "image/emf"),
    "XBM": ("image/x-xbitmap",),
    "XPM": ("image/x-xpixmap",),
}


def formats_of(content_types: Collection[str], what: str) -> tuple[str, ...]:
    """Return Pillow's names of the formats with these content types; `ValueError` if there is none.

    A type that Pillow has no decoder for is passed over: a plugin may bring it later. Raises
    `MissingExtraError` for ``what`` for HEIC without pillow-heif.
    """
    Image.init()
    wanted = {canonical(content_type) for content_type in content_types}
    if not wanted.isdisjoint(_TYPES[HEIF]):
        require_heif(what)
    names = [name for name in Image.OPEN if not wanted.isdisjoint(types_of(name))]
    return known_formats(names or content_types, what)


def known_formats(formats: Collection[str], what: str) -> tuple[str, ...]:
    """Return names of formats as Pillow spells them; `ValueError` for those it cannot decode."""
    Image.init()
    names = tuple(map(format_name, formats))
    if HEIF in names:
        require_heif(what)
    missing = [name for name in names if name not in Image.OPEN]
    if missing or not names:
        raise ValueError(f"Pillow has no decoder for {missing}; it has {sorted(Image.OPEN)}")
    return names


def format_name(name: str) -> str:
    """Return the name of a format as Pillow spells it."""
    return _ALIASES.get(name.upper(), name.upper())


def types_of(name: str) -> tuple[str, ...]:
    """Return the content types of a format of Pillow's, the usual one first."""
    Image.init()
    return _TYPES.get(name) or (canonical(Image.MIME.get(name)) or f"image/{name.lower()}",)


def require_heif(what: str) -> None:
    """Let Pillow decode HEIC; raise `MissingExtraError` for ``what`` if it cannot."""
    if not load_heif():
        raise MissingExtraError(f"{what} for HEIC", "heif")


@cache
def load_heif() -> bool:
    """Let Pillow decode HEIC if pillow-heif is installed; return True if it can."""
    Image.init()
    if HEIF not in Image.OPEN and find_spec("pillow_heif") is not None:
        import pillow_heif  # noqa: PLC0415  the extra "heif"

        pillow_heif.register_heif_opener()
    return HEIF in Image.OPEN


JPEG = ("JPEG", "MPO")
ON_ITS_SIDE = (5, 6, 7, 8)
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats whose frames are an animation, to read and to write."""

# The frames of an animation are decoded one by one: they cost time, not memory. Opening one
# costs as much as decoding 64 x 64 pixels, so a frame counts as no less.
_ANIMATION_FACTOR = 4
_LEAST_FRAME = 64 * 64

# While they are decoded, up to four canvases are in memory: the frame, the one before it, the one
# that is restored after it, and the result. Pillow decodes any WEBP and AVIF as an animation.
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
    """Open an image for a block that decodes it; only the header is read before.

    Errors in the block become `InvalidImageError` for ``key``, except those of reading
    ``content``. Afterwards the stream is at its start.
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
        # Pillow's own limit is exceeded too; its error does not say by how much.
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
    """Decode all frames of an image to the end, as cheaply as possible."""
    if image.format in JPEG:
        # Every byte is read, and decoded at 1/8 scale, in grey.
        image.draft("L", (1, 1))
    frames = frame_count(image)
    _require_frames(image.size, frames, max_pixels)
    image.load()
    for number in range(1, frames):
        image.seek(number)
        _require_size(image.size, max_pixels)
        image.load()


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return width and height of an image with an orientation applied."""
    return (size[1], size[0]) if orientation in ON_ITS_SIDE else size


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an image: 1, upright, to 8.

    EXIF after the pixels of a PNG is only found when the PNG is decoded. Pillow applies the
    orientation of a TIFF itself.
    """
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and "exif" not in image.info and getattr(image, "tile", None):
        return 1
    with quiet():
        try:
            found = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # noqa: BLE001  unreadable EXIF is no reason to refuse an image
            return 1
    return found if 1 <= found <= 8 else 1


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd but readable files.

    Only while a header is read: warning filters are shared by all threads.
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
    """Return the number of frames of an animation; 1 for all other images."""
    return getattr(image, "n_frames", 1) if image.format in ANIMATED else 1


def require_one_page(image: Image.Image) -> None:
    """Refuse a document of several pages: only one of them could be kept."""
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
        raise _too_many_frames("long", size, frames, max_pixels, "in memory")


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
    """Refuse an animation that takes too much time or memory to decode."""
    if frames == 1:
        return
    pixels, in_all = size[0] * size[1], max_pixels * _ANIMATION_FACTOR
    at_once = max(max_pixels, MAX_PIXELS)
    if max(pixels, _LEAST_FRAME) * frames > in_all:
        raise _too_many_frames("long", size, frames, in_all, "in all")
    if pixels * min(frames, _HELD) > at_once:
        raise _too_many_frames("large", size, frames, at_once, f"in any {_HELD} frames")


def _too_many_frames(
    how: str, size: tuple[int, int], frames: int, limit: int, where: str
) -> _RefusedError:
    width, height = size
    return _RefusedError(
        f"The animation is too {how} ({frames} frames of {width} x {height} pixels). "
        f"Allowed maximum is {limit} pixels {where}.",
        "too_many_frames",
        frames=frames,
        width=width,
        height=height,
        max_pixels=limit,
    )


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
        return self._noting_errors(self._stream.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._noting_errors(self._stream.readline, size)

    def _noting_errors(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except BaseException as error:
            self.error = error
            raise
