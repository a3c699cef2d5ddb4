"""Objects in a folder of the local file system."""

from sqlalchemy_file.storage.local.storage import LocalStorage

__all__ = ["LocalStorage"]
