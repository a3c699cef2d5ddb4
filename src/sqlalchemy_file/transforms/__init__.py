"""Transforms change the content of a file before it is stored."""

from sqlalchemy_file.file import Transform
from sqlalchemy_file.transforms.images import Convert, Fit, PictureTransform, StripMetadata

__all__ = ["Convert", "Fit", "PictureTransform", "StripMetadata", "Transform"]
