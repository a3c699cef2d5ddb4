"""Pictures made on the spot, each with just the property that a test is about."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw


def encoded(picture: Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    output = io.BytesIO()
    picture.save(output, format_name, **options)
    return output.getvalue()


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def noise(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture that no format can compress to a few bytes."""
    return Image.merge("RGB", [Image.effect_noise((width, height), 60) for _ in range(3)])


def quadrants(width: int = 80, height: int = 60) -> Image.Image:
    """Return a picture with red, green, blue and yellow corners, clockwise from the top left."""
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    across, down = width // 2, height // 2
    draw.rectangle((0, 0, across - 1, down - 1), "red")
    draw.rectangle((across, 0, width, down - 1), "lime")
    draw.rectangle((across, down, width, height), "blue")
    draw.rectangle((0, down, across - 1, height), "yellow")
    return picture


def corners(picture: Image.Image) -> list[str]:
    """Return the names of the colours in the corners, clockwise from the top left."""
    colour = picture.convert("RGB")
    right, bottom = colour.width - 2, colour.height - 2
    return [_name(colour.getpixel(at)) for at in ((1, 1), (right, 1), (right, bottom), (1, bottom))]


def _name(pixel: Any) -> str:
    known = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
    return min(known, key=lambda name: sum(abs(a - b) for a, b in zip(known[name], pixel)))  # noqa: B905


def turned(picture: Image.Image, orientation: int) -> Image.Exif:
    """Return EXIF notes that ask a viewer to turn the picture."""
    notes = picture.getexif()
    notes[0x0112] = orientation
    return notes


def png_of_size(width: int, height: int) -> bytes:
    """Return the PNG of a size that its header claims, with hardly any pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def with_png_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """Return a PNG with one more chunk behind its header."""
    return png[:33] + png_chunk(name, content) + png[33:]


def animation(format_name: str, frames: int, size: tuple[int, int] = (64, 48)) -> bytes:
    pictures = [
        Image.new("RGB", size, (n * 40 % 256, 90, 200 - n * 30 % 200)) for n in range(frames)
    ]
    return encoded(pictures[0], format_name, save_all=True, append_images=pictures[1:])
