"""Names of version 0.7.0 without a use. Importing them warns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session

from sqlalchemy_file.content.received import upload_type
from sqlalchemy_file.content.sources import given_name
from sqlalchemy_file.detection import UNKNOWN, guess_type
from sqlalchemy_file.support.defaults import UNNAMED

LOCAL_STORAGE_DRIVER_NAME = "Local Storage"
INMEMORY_FILESIZE = 1024 * 1024


def flatmap(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """Return the elements of several lists in one."""
    return list(chain.from_iterable(lists))


def get_metadata_file_obj(metadata: dict[str, Any]) -> SpooledTemporaryFile[bytes]:
    """Return a file with the JSON of an object's metadata, at its start."""
    file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(INMEMORY_FILESIZE)  # noqa: SIM115
    file.write(json.dumps(metadata).encode())
    file.seek(0)
    return file


def get_filename_from_fileob(fileobj: Any) -> str:
    """Return the name that comes with content, without its folder, or ``unnamed``."""
    return PurePath(given_name(fileobj, None) or UNNAMED).name


def get_content_type_from_fileobj(fileobj: Any, filename: str) -> str:
    """Return the content type that comes with content, else the one of its name's suffix."""
    declared = upload_type(fileobj)
    return declared or guess_type(filename) or UNKNOWN


def get_content_size_from_fileobj(file: Any) -> int:
    """Return the number of bytes of a file that can seek; `RuntimeError` for any other."""
    if not (hasattr(file, "seek") and hasattr(file, "tell")):
        raise RuntimeError("Unable to determine the file's size.")
    position = file.tell()
    file.seek(0, os.SEEK_END)
    size = int(file.tell())
    file.seek(position)
    return size


class FileFieldSessionTracker:
    """Deprecated: does nothing. Files are tracked without it.

    Its listeners can be removed and registered again.
    """

    mapped_entities: ClassVar[dict[type, list[str]]] = {}

    @classmethod
    def delete_files(cls, paths: set[str], ctx: str) -> None:
        """Do nothing: what a transaction releases is deleted when it has ended."""

    @classmethod
    def clear_session(cls, session: Session) -> None:
        """Do nothing."""

    @classmethod
    def _do_nothing(cls, *_arguments: Any) -> None: ...

    _mapper_configured = _after_configured = _after_commit = _after_soft_rollback = _do_nothing

    @classmethod
    def setup(cls) -> None:
        """Register the listeners."""
        event.listen(Mapper, "mapper_configured", cls._mapper_configured)
        event.listen(Mapper, "after_configured", cls._after_configured)
        event.listen(Session, "after_commit", cls._after_commit)
        event.listen(Session, "after_soft_rollback", cls._after_soft_rollback)


FileFieldSessionTracker.setup()
