"""Transforms change the content of a file before it is stored."""

from sqlalchemy_file.file import Transform
from sqlalchemy_file.transforms.convert import Convert
from sqlalchemy_file.transforms.fit import Fit
from sqlalchemy_file.transforms.pictures import PictureTransform
from sqlalchemy_file.transforms.strip_metadata import StripMetadata

__all__ = ["Convert", "Fit", "PictureTransform", "StripMetadata", "Transform"]
