"""Processors store further objects for a file, such as thumbnails."""

from collections.abc import Callable
from typing import Any

from sqlalchemy_file.file import Processor
from sqlalchemy_file.imaging.variant import Variant
from sqlalchemy_file.processors.images import ThumbnailGenerator, Variants
from sqlalchemy_file.support.names import moved

__all__ = ["Processor", "ThumbnailGenerator", "Variant", "Variants"]

__getattr__: Callable[[str], Any] = moved(__name__, {"INMEMORY_FILESIZE": "sqlalchemy_file.legacy"})
