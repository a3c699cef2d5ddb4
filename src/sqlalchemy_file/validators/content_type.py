"""Which content types a file may have."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy_file.detection import (
    HEAD_SIZE,
    UNKNOWN,
    canonical,
    decide,
    detect,
    is_text,
    refutes,
)
from sqlalchemy_file.exceptions import ContentTypeValidationError
from sqlalchemy_file.file import File
from sqlalchemy_file.validators.base import Validator


class ContentTypeValidator(Validator):
    """Refuses files of other content types than those listed: ``"text/csv"``, ``"image/*"``, ...

    None allows every type. It judges by the bytes: a type that a sender claims counts only where
    the bytes do not rule it out. Other names of the same type (``image/jpg``) are understood.
    """

    _believes_claims = False

    def __init__(self, allowed_content_types: Collection[str] | None = None) -> None:
        self.allowed_content_types = allowed_content_types
        self._allowed = None if allowed_content_types is None else _parsed(allowed_content_types)

    def process(self, file: File, attr_key: str) -> None:
        head = _head_of(file)
        detected = detect(head, file["filename"])
        content_type = decide(detected, file["content_type"], file["filename"])
        if self._believes_claims or not refutes(detected, content_type):
            self._require_allowed(content_type, attr_key)
        else:
            self._require_allowed(detected or _look(head), attr_key)

    def _require_allowed(self, content_type: str, attr_key: str) -> None:
        if self._allowed is None or _matches(content_type, self._allowed):
            return
        raise ContentTypeValidationError(
            attr_key,
            f"File content_type {content_type} is not allowed. "
            f"Allowed content_types are: {self.allowed_content_types}",
        )


def _parsed(content_types: Collection[str]) -> frozenset[str]:
    if isinstance(content_types, str) or not all(isinstance(t, str) for t in content_types):
        raise TypeError(
            f"allowed_content_types is a list of str, as in ['image/*'], not {content_types!r}"
        )
    return frozenset(_parse(content_type) for content_type in content_types)


def _parse(content_type: str) -> str:
    name = canonical(content_type)
    if name is not None:
        return name
    main, slash, rest = content_type.strip().lower().partition("/")
    if (slash and rest == "*") and (main == "*" or canonical(f"{main}/x") is not None):
        return f"{main}/*"
    raise ValueError(
        f"{content_type!r} is no content type: expected one as 'image/png' or 'image/*'"
    )


def _matches(content_type: str, allowed: frozenset[str]) -> bool:
    name = canonical(content_type) or UNKNOWN
    family = f"{name.partition('/')[0]}/*"
    return not allowed.isdisjoint((name, family, "*/*"))


def _head_of(file: File) -> bytes:
    content = file.original_content
    content.seek(0)
    head = content.read(HEAD_SIZE)
    content.seek(0)
    return head


def _look(head: bytes) -> str:
    return "text/plain" if head and is_text(head) else UNKNOWN
