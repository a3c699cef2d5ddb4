"""Processors derive further objects from a file just stored."""

from sqlalchemy_file.imaging.variant import Variant
from sqlalchemy_file.processors.base import Processor
from sqlalchemy_file.processors.thumbnail import ThumbnailGenerator
from sqlalchemy_file.processors.variants import Variants

__all__ = ["Processor", "ThumbnailGenerator", "Variant", "Variants"]
