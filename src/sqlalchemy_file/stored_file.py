"""The old way to import `StoredFile`."""

from sqlalchemy_file.storage.stored_file import StoredFile

__all__ = ["StoredFile"]
