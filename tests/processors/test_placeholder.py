"""Placeholders: ThumbHashes as other programs make and read them, one for each image."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator

import pytest
from PIL import Image

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.imaging.thumbhash import thumbhash
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.serving import public_record
from tests.pictures import encoded, quadrants

Colour = tuple[float, ...]


def image(width: int, height: int, *, has_alpha: bool) -> bytes:
    return bytes(
        value
        for y in range(height)
        for x in range(width)
        for value in (
            x * 11 % 256,
            (y * 17 + x) % 256,
            x * y * 3 % 256,
            (x * 13 + y * 7) % 256 if has_alpha else 255,
        )
    )


# Made of the same images by the JavaScript library of the format's author, release 1.1.1.
KNOWN = [
    (20, 13, False, "WfgNHZZgdodwiHiGeGd4h/WWH/eI"),
    (13, 20, False, "1rcJHRRgdnOICIiHeIZnp/qfI6f4"),
    (20, 13, True, "WwiGE44nY3mAi6XFiC/5hgNqN3p4eXc="),
    (24, 24, False, "XCgOJxpgdnd1h4hziEiImIh2BtxpgIgL"),
    (24, 2, True, "0PmGCYZmoGyTaYeQXwead1Zph4iHiAg="),
    (1, 1, False, "AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    (100, 61, False, "H/gFDIIzIwNVd3d1d1VHWx+gnA=="),
]


@pytest.mark.parametrize(("width", "height", "has_alpha", "known"), KNOWN)
def test_the_hash_is_that_of_the_format_s_own_library(
    width: int, height: int, has_alpha: bool, known: str
) -> None:
    content = image(width, height, has_alpha=has_alpha)
    assert base64.b64encode(thumbhash(width, height, content)).decode() == known


@pytest.mark.parametrize(("width", "height"), [(0, 1), (101, 1), (1, 101)])
def test_a_hash_is_made_of_few_pixels_only(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="at most 100 x 100"):
        thumbhash(width, height, bytes(4 * width * height))


class Decoded:
    """What a ThumbHash shows, by the description of the format."""

    def __init__(self, code: str) -> None:
        data = base64.b64decode(code)
        first, second = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
        self.has_alpha = bool(first >> 23)
        landscape, shorter = second >> 15, max(3, second & 7)
        most = 5 if self.has_alpha else 7
        across, down = (most, shorter) if landscape else (shorter, most)
        self.ratio = across / down
        at = 6 if self.has_alpha else 5
        nibbles = iter([each >> shift & 15 for each in data[at:] for shift in (0, 4)])
        self._light = (first & 63) / 63, list(_read(nibbles, across, down, (first >> 18 & 31) / 31))
        self._yellow = (
            (first >> 6 & 63) / 31.5 - 1,
            list(_read(nibbles, 3, 3, (second >> 3 & 63) / 63 * 1.25)),
        )
        self._red = (
            (first >> 12 & 63) / 31.5 - 1,
            list(_read(nibbles, 3, 3, (second >> 9 & 63) / 63 * 1.25)),
        )

    def at(self, x: float, y: float) -> Colour:
        """Return the colour at a place, from (0, 0) to (1, 1)."""
        light, yellow, red = (
            mean + sum(f * 2 * math.cos(math.pi * cx * x) * math.cos(math.pi * cy * y)
                       for cx, cy, f in waves)
            for mean, waves in (self._light, self._yellow, self._red)
        )  # fmt: skip
        blue = light - 2 / 3 * yellow
        return (3 * light - blue + red) / 2, (3 * light - blue - red) / 2, blue


def _read(
    nibbles: Iterator[int], across: int, down: int, scale: float
) -> Iterator[tuple[int, int, float]]:
    for cy in range(down):
        for cx in range(across):
            if (cx or cy) and cx * down < across * (down - cy):
                yield cx, cy, (next(nibbles) / 7.5 - 1) * scale


def test_a_placeholder_shows_what_the_image_does(process) -> None:
    file = process(Variants(placeholder=True), encoded(quadrants(320, 200)))
    assert len(base64.b64decode(file.placeholder)) <= 30
    shown = Decoded(file.placeholder)
    corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]
    wanted = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
    for place, colour in zip(corners, wanted, strict=True):
        found = shown.at(*place)
        assert all(abs(a - b) < 0.45 for a, b in zip(found, colour, strict=True)), (place, found)
    assert abs(shown.ratio - 1.6) < 0.25
    assert not shown.has_alpha


def test_a_placeholder_alone_stores_nothing_more(process) -> None:
    file = process(Variants(placeholder=True), encoded(quadrants()))
    assert "variants" not in file
    assert file["files"] == [file["path"]]
    assert public_record(file)["placeholder"] == file.placeholder


def test_a_placeholder_is_upright_and_transparent_as_the_image_is(process) -> None:
    picture = quadrants(90, 60)
    notes = picture.getexif()
    notes[0x0112] = 6  # the camera was turned
    upright = process(Variants(placeholder=True), encoded(picture, "JPEG", exif=notes))
    assert Decoded(upright.placeholder).ratio < 1
    glass = Image.new("RGBA", (40, 30), (255, 0, 0, 100))
    assert Decoded(process(Variants(placeholder=True), encoded(glass)).placeholder).has_alpha


def test_the_image_is_decoded_once_for_all_of_them(process, monkeypatch) -> None:
    from sqlalchemy_file.imaging import rendering

    calls = []
    original = rendering.render
    monkeypatch.setattr(rendering, "render", lambda *args: (calls.append(1), original(*args))[1])
    file = File(encoded(quadrants()), filename="a.png")
    file.save_to_storage()
    file.apply_processors([ThumbnailGenerator((16, 16)), Variants(small=(8, 8), placeholder=True)])
    assert calls == [1]
    assert file.placeholder
    assert set(file["variants"]) == {"small"}
    assert len(list(StorageManager.storage().list())) == 3


@pytest.mark.parametrize("wrong", [(8, 8), 1, "yes"])
def test_a_variant_cannot_be_called_placeholder(wrong: object) -> None:
    with pytest.raises(TypeError, match="placeholder is True or False"):
        Variants(placeholder=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one variant"):
        Variants()
