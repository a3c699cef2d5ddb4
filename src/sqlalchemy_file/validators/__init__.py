"""Validators accept or refuse files before anything is stored."""

from sqlalchemy_file.exceptions import (
    AspectRatioValidationError,
    ContentTypeValidationError,
    DimensionValidationError,
    InvalidImageError,
    SizeValidationError,
)
from sqlalchemy_file.file import Validator
from sqlalchemy_file.helpers import convert_size
from sqlalchemy_file.validators.content_type import ContentTypeValidator
from sqlalchemy_file.validators.image import ImageValidator
from sqlalchemy_file.validators.size import SizeValidator

__all__ = [
    "AspectRatioValidationError",
    "ContentTypeValidationError",
    "ContentTypeValidator",
    "DimensionValidationError",
    "ImageValidator",
    "InvalidImageError",
    "SizeValidationError",
    "SizeValidator",
    "Validator",
    "convert_size",
]
