"""Transforms change the content of a file before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from itertools import groupby
from typing import Any, BinaryIO, cast

from sqlalchemy_file.file import File, Transform
from sqlalchemy_file.transforms.images import (
    Convert,
    Fit,
    JoinedPictures,
    PictureTransform,
    StripMetadata,
)

__all__ = ["Convert", "Fit", "PictureTransform", "StripMetadata", "Transform"]

TransformChoice = Transform | Callable[[BinaryIO], Any]


class _Function(Transform):
    """A plain function of content to content."""

    def __init__(self, function: Callable[[BinaryIO], Any]) -> None:
        self._function = function

    def transform(self, file: File, attr_key: str) -> Any:
        return self._function(file.original_content)


def joined(transforms: Sequence[TransformChoice]) -> list[Transform]:
    """Return transforms with those of images that follow one another made into one.

    Raises `TypeError` for what is neither a transform nor a function.
    """
    result: list[Transform] = []
    known = [_known(each) for each in transforms]
    for is_picture, group in groupby(known, lambda each: isinstance(each, PictureTransform)):
        members = list(group)
        if is_picture:
            result.append(JoinedPictures(cast("list[PictureTransform]", members)))
        else:
            result += members
    return result


def _known(transform: TransformChoice) -> Transform:
    method = getattr(transform, "transform", transform)
    if isinstance(transform, type) or not callable(method) or iscoroutinefunction(method):
        raise TypeError(
            "a transform has a method transform(file, attr_key), or is a function of content to "
            f"content; neither may be async: {transform!r}"
        )
    return transform if isinstance(transform, Transform) else _Function(transform)
