"""Images: decoded within limits, and scaled. Pillow is loaded only where it is needed."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy_file.exceptions import MissingExtraError

DEFAULT_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
"""Pillow's decoders for formats that browsers show: small, fast, and in use everywhere."""

COPIED_FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF"),
    *("BMP", "ICO", "JPEG2000", "PPM", "TIFF"),
)
"""Formats of originals of scaled copies: those that browsers show and scanners make.

Nothing here starts another program, as Pillow's PostScript decoder does.
"""

MAX_PIXELS = 64_000_000
"""How many pixels an image may have: as four bytes each, they take 256 MB of memory."""


def require_pillow(what: str) -> None:
    """Raise `MissingExtraError` for ``what`` if Pillow is not installed."""
    if find_spec("PIL") is None:
        raise MissingExtraError(what, "image")
