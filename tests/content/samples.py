"""Content for the tests of this folder, and whether a file holds it."""

from __future__ import annotations

import hashlib

from sqlalchemy_file import File

DATA = b"some bytes, \x00 and \xff among them" * 10


def assert_holds(file: File, data: bytes = DATA) -> None:
    assert file.file.read() == data
    assert file["size"] == len(data)
    assert file["checksum"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
