"""Clean file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sqlalchemy_file.support.defaults import UNNAMED

MAX_NAME_BYTES = 255
"""The longest file name that common file systems take, as UTF-8."""

_SEPARATORS = re.compile(r"[/\\]")

# Control characters end header lines and confuse terminals; format characters (Cf) reverse or
# hide parts of a name, so that "exe.pdf" is shown for "fdp.exe"; lone surrogates (Cs) and line
# separators cannot be encoded or printed.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# The joiners are format characters, too, but Persian, the scripts of India and emoji are written
# with them. They belong to the letter or sign before them, which no ASCII character is.
_JOINERS = "\u200c\u200d"
_JOINED = frozenset("LMS")

_SUFFIX = re.compile(r"(?<=.)(?:\.tar)?\.[^.\s]{1,31}$", re.IGNORECASE)


def clean_filename(raw: str | None) -> str:
    """Return the name of a file as it may be kept, shown and sent.

    That is the last part of a path in either notation, in Unicode's composed form, without
    control and bidirectional characters and others that cannot be seen, of at most 255 bytes
    with its suffix kept.
    """
    for part in reversed(_SEPARATORS.split(raw or "")):
        if name := _printable(part):
            return _shortened(name) if name.strip(". ") else UNNAMED
    return UNNAMED


def _printable(part: str) -> str:
    if not (part.isascii() and part.isprintable()):
        part = unicodedata.normalize("NFC", "".join(_kept(part)))
    return part.strip()


def _kept(part: str) -> Iterator[str]:
    before = ""
    for char in part:
        if unicodedata.category(char) not in _UNWANTED:
            before = char
        elif char in _JOINERS and _takes_joiner(before):
            before = ""
        else:
            continue
        yield char


def _takes_joiner(char: str) -> bool:
    return char > "\x7f" and unicodedata.category(char)[0] in _JOINED


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    match = _SUFFIX.search(name)
    suffix = match.group() if match else ""
    room = MAX_NAME_BYTES - len(suffix.encode())
    stem = name.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return (stem.rstrip() + suffix) if suffix else stem.rstrip()
