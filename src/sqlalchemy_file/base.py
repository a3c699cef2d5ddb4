"""The import path of `BaseFile`."""

from sqlalchemy_file.values.state import BaseFile

__all__ = ["BaseFile"]
