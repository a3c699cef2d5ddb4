"""A small muxer: a real WebM video, of pictures that Pillow encodes."""

from __future__ import annotations

import struct

from PIL import Image

from tests.pictures import encoded, noise

_WIDTH, _HEIGHT = 640, 480


def webm(seconds: int) -> bytes:
    """Return a video with a picture each second: noise in red, and in blue from the middle on."""
    red, blue = _picture("red"), _picture("blue")
    pictures = [red if second < seconds / 2 else blue for second in range(seconds)]
    clusters = [_cluster(second * 1000, picture) for second, picture in enumerate(pictures)]
    head = _info(seconds * 1000) + _track()
    start = len(head) + len(_cues(clusters, 0))
    body = head + _cues(clusters, start) + b"".join(clusters)
    return _element("1A45DFA3", _HEADER) + _element("18538067", body)


def _picture(colour: str) -> bytes:
    """Return a frame of VP8: what a lossy WebP holds."""
    picture = Image.blend(Image.new("RGB", (_WIDTH, _HEIGHT), colour), noise(_WIDTH, _HEIGHT), 0.4)
    content = encoded(picture, "WEBP", quality=95, method=0)
    assert content[12:16] == b"VP8 "
    (size,) = struct.unpack("<I", content[16:20])
    return content[20 : 20 + size]


def _element(name: str, content: bytes) -> bytes:
    size = len(content)
    length = bytes([0x80 | size]) if size < 127 else struct.pack(">Q", 1 << 56 | size)
    return bytes.fromhex(name) + length + content


def _number(name: str, value: int) -> bytes:
    return _element(name, struct.pack(">Q", value))


_HEADER = (
    _number("4286", 1) + _number("42F7", 1) + _number("42F2", 4) + _number("42F3", 8)
    + _element("4282", b"webm") + _number("4287", 2) + _number("4285", 2)
)  # fmt: skip


def _info(milliseconds: int) -> bytes:
    duration = _element("4489", struct.pack(">d", milliseconds))
    return _element("1549A966", _number("2AD7B1", 1_000_000) + duration)


def _track() -> bytes:
    size = _number("B0", _WIDTH) + _number("BA", _HEIGHT)
    video = _number("83", 1) + _element("86", b"V_VP8") + _element("E0", size)
    return _element("1654AE6B", _element("AE", _number("D7", 1) + _number("73C5", 1) + video))


def _cluster(milliseconds: int, picture: bytes) -> bytes:
    block = b"\x81\0\0\x80" + picture  # track 1, at the time of the cluster, a key frame
    return _element("1F43B675", _number("E7", milliseconds) + _element("A3", block))


def _cues(clusters: list[bytes], start: int) -> bytes:
    """Return where the cluster of each second begins."""
    points = b""
    for second, cluster in enumerate(clusters):
        where = _element("B7", _number("F7", 1) + _number("F1", start))
        points += _element("BB", _number("B3", second * 1000) + where)
        start += len(cluster)
    return _element("1C53BB6B", points)
