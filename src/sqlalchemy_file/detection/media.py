"""Audio and video containers, by their brands, document types and frames."""

from __future__ import annotations

from collections.abc import Iterator

# Brands of ISO base media files, https://mp4ra.org/registered-types/brands
_BRANDS_OF = {
    "image/avif": (b"avif", b"avis"),
    "image/heic": (b"heic", b"heix", b"heim", b"heis"),
    "image/heic-sequence": (b"hevc", b"hevx"),
    "video/quicktime": (b"qt  ",),
    "audio/mp4": (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "),
    "video/x-m4v": (b"M4V ", b"M4VH", b"M4VP"),
    "image/x-canon-cr3": (b"crx ",),
    "image/jp2": (b"jp2 ",),
    "image/jpx": (b"jpx ",),
    "image/jpm": (b"jpm ",),
    "video/mj2": (b"mjp2",),
}
_BRANDS = {brand: content_type for content_type, brands in _BRANDS_OF.items() for brand in brands}
_SOUND_BRANDS = frozenset(_BRANDS_OF["audio/mp4"])
_FILM_BRANDS = frozenset({b"M4V ", b"F4V ", b"avc1", b"hvc1"})
_GENERAL_IMAGE_BRANDS = (b"mif1", b"msf1", b"miaf")

KNOWN_TYPES = frozenset(
    {
        *_BRANDS_OF,
        *("video/webm", "video/matroska", "audio/mpeg", "audio/flac"),
        *("video/3gpp", "video/3gpp2", "video/mp4", "image/heif"),
    }
)
"""All types that the functions of this module return, but for those in the table of signatures."""

# Boxes that a file of QuickTime may begin with: files before 1999 have no "ftyp".
ISO_MEDIA_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot")
_TAGGED = {
    b"fLaC": "audio/flac",
    b"MAC ": "audio/x-ape",
    b"TTA1": "audio/x-tta",
    b"wvpk": "audio/x-wavpack",
    b"MPCK": "audio/x-musepack",
}

_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_BIT_RATES = {  # kbit/s by (MPEG-1?, layer), ISO 11172-3 and 13818-3
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def matroska_type(head: bytes) -> str | None:
    """Return the type of an EBML file by its document type (element 0x4282)."""
    element = head.find(b"\x42\x82", 4, 128)
    if element < 0 or not (size := head[element + 2 : element + 10]) or not size[0]:
        return None
    width = 9 - size[0].bit_length()  # of the size, by its leading zeros (RFC 8794, section 4)
    length = int.from_bytes(size[:width]) & ((1 << 7 * width) - 1)
    doctype = head[element + 2 + width :][:length]
    return {b"webm": "video/webm", b"matroska": "video/matroska"}.get(doctype.rstrip(b"\0"))


def iso_media_type(head: bytes) -> str:
    """Return the type of an ISO base media file by its brands; MP4 if they are general."""
    if head[4:8] not in (b"ftyp", b"styp"):
        return "video/quicktime"
    major, *others = _brands(head)
    if major.startswith((b"3gp", b"3gr", b"3gs", b"3ge", b"3gg")):
        return "video/3gpp"
    if major.startswith(b"3g2"):
        return "video/3gpp2"
    if major not in _GENERAL_IMAGE_BRANDS:
        is_sound = not _SOUND_BRANDS.isdisjoint(others) and _FILM_BRANDS.isdisjoint(others)
        return _BRANDS.get(major, "audio/mp4" if is_sound else "video/mp4")
    named = (_BRANDS[brand] for brand in others if brand in _BRANDS)
    return next(named, "image/heif")


def tagged_type(head: bytes) -> str:
    """Return the type of audio after an ID3 tag; MPEG's if the tag is longer than the head."""
    return untagged_type(head[tag_end(head) :])


def tag_end(head: bytes) -> int:
    """Return where the ID3 tags at the start end; 0 if there is none (ID3 2.4, 3.1)."""
    end = 0
    while head[end : end + 3] == b"ID3" and len(head) >= end + 10:
        a, b, c, d = (byte & 0x7F for byte in head[end + 6 : end + 10])
        end += 10 + (a << 21 | b << 14 | c << 7 | d)
    return end


def untagged_type(start: bytes) -> str:
    """Return the type of audio by the bytes behind its ID3 tag."""
    return _TAGGED.get(start[:4]) or mpeg_audio_type(start) or "audio/mpeg"


def mpeg_audio_type(head: bytes) -> str | None:
    """Return the type of MPEG audio without a tag, by two consecutive frames of the same kind."""
    for content_type, length, mask in (
        ("audio/mpeg", _mpeg_frame_length(head), b"\xff\xfe\x0c\0"),
        ("audio/aac", _adts_frame_length(head), b"\xff\xff\xfc\0"),
    ):
        following = head[length : length + 4]
        if length and len(following) == 4 and _masked(following, mask) == _masked(head, mask):
            return content_type
    return None


def _brands(head: bytes) -> Iterator[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head), 512)
    yield head[8:12]
    yield from (head[start : start + 4] for start in range(16, end, 4))


def _mpeg_frame_length(head: bytes) -> int:
    """Return the length in bytes of the MPEG audio frame at the start, 0 if there is none."""
    header = int.from_bytes(head[:4], "big")
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    rate, sampling, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    rates = _SAMPLE_RATES.get(version, ())
    if header >> 21 != 0x7FF or layer == 4 or not 0 < rate < 15 or sampling >= len(rates):
        return 0
    is_first = version == 3  # MPEG-1
    bits = _BIT_RATES[is_first, layer if is_first else min(layer, 2)][rate - 1] * 1000
    hertz = rates[sampling]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    samples = 72 if layer == 3 and not is_first else 144
    return samples * bits // hertz + padding


def _adts_frame_length(head: bytes) -> int:
    """Return the length in bytes of the AAC frame at the start, 0 if there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def _masked(header: bytes, mask: bytes) -> bytes:
    return bytes(byte & bits for byte, bits in zip(header, mask, strict=False))
