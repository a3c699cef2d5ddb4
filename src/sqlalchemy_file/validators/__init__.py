"""Validators accept or refuse a file before any byte of it is stored."""

from sqlalchemy_file.validators.base import Validator
from sqlalchemy_file.validators.content_type import ContentTypeValidator
from sqlalchemy_file.validators.image import ImageValidator
from sqlalchemy_file.validators.size import SizeValidator

__all__ = ["ContentTypeValidator", "ImageValidator", "SizeValidator", "Validator"]
