"""Attach files to SQLAlchemy models; the storage follows the transaction."""

from sqlalchemy_file.file import File
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking import install
from sqlalchemy_file.types import FileField, ImageField
from sqlalchemy_file.validation import validate

__all__ = ["File", "FileField", "ImageField", "StorageManager"]
__version__ = "1.0.0.dev0"

install()
del install, validate  # it has its own module
