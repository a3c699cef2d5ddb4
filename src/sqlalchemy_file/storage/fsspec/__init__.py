"""Objects in an fsspec filesystem."""

from sqlalchemy_file.storage.fsspec.storage import FsspecStorage

__all__ = ["FsspecStorage"]
