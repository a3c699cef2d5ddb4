"""Encode images and animations."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from sqlalchemy_file.imaging.channels import fit_for
from sqlalchemy_file.imaging.formats import HEIF, format_name, load_heif, types_of

# Moderate effort: two or three times the time would save a few per cent of the bytes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 80, "method": 2},
    "AVIF": {"quality": 70, "speed": 8},
}
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic", "JPEG2000": "jp2"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the frames of an animation are shown, in milliseconds, and how often it runs."""

    durations: Sequence[int]
    loop: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """An image, encoded."""

    content: bytes
    width: int
    height: int
    content_type: str
    suffix: str


def encode(
    frames: Sequence[Image.Image],
    format_: str,
    options: Mapping[str, Any],
    *,
    background: str | None = None,
    timing: Timing | None = None,
) -> Rendition:
    """Return an image, or the frames of an animation, as a file without any notes about it."""
    name = format_name(format_)
    plain = [fit_for(frame, name, background or "white") for frame in frames]
    for frame in plain:
        frame.info = {}  # notes of the original: place, camera, preview, comments
    given = {**_OPTIONS.get(name, {}), **options}
    if timing is not None and len(plain) > 1:
        given |= _animation(plain, name, timing)
    output = io.BytesIO()
    plain[0].save(output, name, **given)
    return Rendition(
        output.getvalue(),
        *plain[0].size,
        content_type=types_of(name)[0],
        suffix=_SUFFIXES.get(name, name.lower()),
    )


def require_encoders(names: Iterable[str]) -> None:
    """Raise `ValueError` if Pillow cannot write colours in one of these formats."""
    Image.init()
    wanted = {name: format_name(name) for name in names}
    if HEIF in wanted.values():
        load_heif()
    missing = [name for name, known in wanted.items() if not _writes_colours(known)]
    if missing:
        raise ValueError(f"Pillow cannot write {missing}; it can write {sorted(Image.SAVE)}")


@cache
def _writes_colours(name: str) -> bool:
    if name not in Image.SAVE:
        return False
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), name)
    except Exception:  # noqa: BLE001  each encoder has its own way to say so
        return False
    return True


def _animation(frames: Sequence[Image.Image], name: str, timing: Timing) -> dict[str, Any]:
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": list(timing.durations),
    }
    if name == "GIF":
        # A GIF that says nothing runs once; one that says 1 runs twice.
        once = {} if timing.loop == 1 else {"loop": max(timing.loop - 1, 0)}
        return {**options, **once, "disposal": 2}
    return {**options, "loop": timing.loop} if name != "AVIF" else options
