"""Content types: what the first bytes of a file say, and what to believe where they say nothing."""

from __future__ import annotations

from sqlalchemy_file.detection.decision import decide, refutes
from sqlalchemy_file.detection.library import look_up
from sqlalchemy_file.detection.markup import markup_type
from sqlalchemy_file.detection.names import UNKNOWN, canonical, essence
from sqlalchemy_file.detection.signatures import is_text, signature_type

__all__ = ["HEAD_SIZE", "UNKNOWN", "canonical", "decide", "detect", "essence", "is_text", "refutes"]

HEAD_SIZE = 4096
"""How many bytes from its start tell the type of a file, as far as they do."""


def detect(head: bytes, filename: str | None = None) -> str | None:
    """Return the content type that the first bytes of a file prove; None where they prove none.

    Plain text and unmarked binary data prove none. ``filename`` has no say: it is its sender's.
    """
    del filename
    found = signature_type(head) or markup_type(head)
    if found is not None or is_text(head):
        return found
    return look_up(head)
