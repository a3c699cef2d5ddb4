"""Pillow's names of formats, and their content types."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.util import find_spec

from PIL import Image

from sqlalchemy_file.detection import canonical
from sqlalchemy_file.exceptions import MissingExtraError

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
