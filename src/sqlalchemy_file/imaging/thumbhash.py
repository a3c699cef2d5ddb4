"""ThumbHash: a blurred preview of an image in some 25 bytes.

The format is Evan Wallace's, https://evanw.github.io/thumbhash/. A discrete cosine transform of
lightness, two differences of colour and transparency is kept in four bits a coefficient. Decoders
exist for browsers, iOS and Android.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LARGEST = 100
"""The longest side that the format allows; a fraction of it looks the same."""

_NOISE = 1e-9
"""Smaller coefficients are rounding errors."""

Pixels = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Channel:
    """A channel's mean, the other coefficients from 0 to 1, and what they were divided by."""

    mean: float
    rest: Sequence[float]
    scale: float


def thumbhash(width: int, height: int, rgba: bytes) -> bytes:
    """Return the hash of an image of eight bits a channel, of at most 100 x 100 pixels."""
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError(f"a ThumbHash is made of at most {LARGEST} x {LARGEST} pixels")
    light, yellow, red, alpha = _channels(width, height, rgba)
    has_alpha = any(value < 1 for row in alpha for value in row)
    most = 5 if has_alpha else 7
    longest = max(width, height)
    across = max(1, _rounded(most * width / longest))
    down = max(1, _rounded(most * height / longest))
    lightness = _transformed(light, max(3, across), max(3, down))
    others = [_transformed(yellow, 3, 3), _transformed(red, 3, 3)]
    if has_alpha:
        others.append(_transformed(alpha, 5, 5))
    return _packed(lightness, others, down if width > height else across, width > height)


def _channels(width: int, height: int, rgba: bytes) -> list[Pixels]:
    """Return lightness, yellow against blue, red against green, and alpha."""
    pixels = [tuple(rgba[at : at + 4]) for at in range(0, 4 * width * height, 4)]
    seen = sum(pixel[3] for pixel in pixels) or 1
    mean = [sum(pixel[n] * pixel[3] for pixel in pixels) / seen / 255 for n in range(3)]
    channels = zip(*(_differences(pixel, mean) for pixel in pixels), strict=True)
    return [[each[at : at + width] for at in range(0, len(each), width)] for each in channels]


def _differences(pixel: Sequence[int], mean: Sequence[float]) -> Sequence[float]:
    # Transparent parts have the mean colour, so that they cost no coefficients.
    alpha = pixel[3] / 255
    r, g, b = (mean[n] * (1 - alpha) + alpha / 255 * pixel[n] for n in range(3))
    return (r + g + b) / 3, (r + g) / 2 - b, r - g, alpha


def _transformed(pixels: Pixels, across: int, down: int) -> _Channel:
    """Return the low frequencies of a channel: a triangle of ``across`` by ``down``."""
    height, width = len(pixels), len(pixels[0])
    waves = [_cosines(cx, width) for cx in range(across)]
    by_row = [[_product(row, wave) for row in pixels] for wave in waves]
    mean, *rest = (
        _product(by_row[cx], _cosines(cy, height)) / (width * height)
        for cy in range(down)
        for cx in range(across)
        if cx * down < across * (down - cy)
    )
    scale = max(map(abs, rest), default=0.0)
    if scale <= _NOISE:
        return _Channel(mean, [0.0] * len(rest), 0.0)
    return _Channel(mean, [0.5 + 0.5 / scale * each for each in rest], scale)


def _cosines(frequency: int, count: int) -> list[float]:
    return [math.cos(math.pi / count * frequency * (n + 0.5)) for n in range(count)]


def _product(values: Sequence[float], wave: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(values, wave, strict=True))


def _packed(
    lightness: _Channel, others: Sequence[_Channel], shorter: int, is_landscape: bool
) -> bytes:
    yellow, red, *alpha = others
    first = (
        _rounded(63 * lightness.mean)
        | _rounded(31.5 + 31.5 * yellow.mean) << 6
        | _rounded(31.5 + 31.5 * red.mean) << 12
        | _rounded(31 * lightness.scale) << 18
        | bool(alpha) << 23
    )
    second = (
        shorter
        | _rounded(63 * yellow.scale) << 3
        | _rounded(63 * red.scale) << 9
        | is_landscape << 15
    )
    head = first.to_bytes(3, "little") + second.to_bytes(2, "little")
    if alpha:
        head += bytes([_rounded(15 * alpha[0].mean) | _rounded(15 * alpha[0].scale) << 4])
    nibbles = [_rounded(15 * each) for channel in (lightness, *others) for each in channel.rest]
    nibbles += [0] * (len(nibbles) % 2)
    return head + bytes(
        low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True)
    )


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)
