"""The facts about a file that its answer needs, and the headers made of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy_file.content.disposition import Disposition, content_disposition


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One representation of a file: its size in bytes, its type, and the identity of its bytes.

    ``etag`` is a strong entity tag with its quotes. ``sha256`` is the checksum of all bytes, in
    hexadecimal. ``encoding`` is how the stored bytes are compressed. ``headers`` are sent with
    every answer, 304 included.
    """

    size: int
    content_type: str
    filename: str
    disposition: Disposition = "attachment"
    etag: str | None = None
    modified: datetime | None = None
    sha256: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    encoding: str | None = None

    @property
    def content_disposition(self) -> str:
        """The value of ``Content-Disposition``."""
        return content_disposition(self.disposition, self.filename)

    @property
    def repr_digest(self) -> str | None:
        """The value of ``Repr-Digest`` (RFC 9530), or None without a checksum."""
        if self.sha256 is None:
            return None
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode('ascii')}:"
