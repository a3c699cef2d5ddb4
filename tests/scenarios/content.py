"""Content that can be told from its bytes: a label, and a tail that follows from it."""

from __future__ import annotations

import hashlib
import io

DERIVED = "~"
"""Parts the label of a main object from what a processor made of it."""


def content_of(label: str) -> bytes:
    """Return the bytes that stand for ``label``; no two labels have the same. None for ``""``."""
    if not label:
        return b""
    digest = hashlib.sha256(label.encode()).hexdigest().encode()
    return label.encode() + b"\n" + digest * (1 + digest[0] % 20)


def label_of(content: bytes) -> str:
    """Return the label that ``content`` stands for, sure that no byte is missing or wrong."""
    label = content.partition(b"\n")[0].decode()
    assert content == content_of(label), f"the bytes of {label!r} are damaged: {content[:200]!r}"
    return label


def filename_of(label: str) -> str:
    return f"{label}.txt"


class OneWayStream(io.RawIOBase):
    """A stream that can be read once and not rewound, as from a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._content.readinto(buffer)


class FailingStream(OneWayStream):
    """A stream that breaks off after some bytes."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._content.tell() > 0:
            raise ConnectionResetError("the client went away")
        return self._content.readinto(buffer[:8])
