"""Validation of content types."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy_file import detection
from sqlalchemy_file.detection import HEAD_SIZE, UNKNOWN, canonical, type_of_suffix
from sqlalchemy_file.exceptions import ContentTypeValidationError
from sqlalchemy_file.file import File, Validator


class ContentTypeValidator(Validator):
    """Refuses files of content types that are not listed.

        ContentTypeValidator(["application/pdf", "image/*"])

    None allows every type. The type is detected in the bytes: a type that a client claims counts
    only if the bytes do not contradict it. Other names of a type (``image/jpg``) and suffixes
    (``"pdf"``) are understood. One type may be given without a list.
    """

    def __init__(self, allowed_content_types: Collection[str] | str | None = None) -> None:
        self.allowed_content_types = allowed_content_types
        self._allowed = (
            None if allowed_content_types is None else parsed_types(allowed_content_types)
        )

    def process(self, file: File, attr_key: str) -> None:
        content_type = _judged(file)
        if not (self._allows(content_type) or self._excuses(file)):
            raise self._not_allowed(content_type, attr_key)

    def process_head(self, file: File, attr_key: str, head: bytes) -> None:
        """Refuse a stream whose first bytes prove a type that is not allowed."""
        # A subclass of a program's own may accept what this one refuses.
        is_ours = type(self).process.__module__.startswith("sqlalchemy_file.")
        content_type = detection.certain_type(head) if is_ours else None
        if content_type is not None and not self._allows(content_type):
            raise self._not_allowed(content_type, attr_key)

    def _not_allowed(self, content_type: str, attr_key: str) -> ContentTypeValidationError:
        return ContentTypeValidationError(
            attr_key,
            f"File content_type {content_type} is not allowed. "
            f"Allowed content_types are: {self.allowed_content_types}",
            params={"content_type": content_type, "allowed": self.allowed_content_types},
        )

    def _excuses(self, file: File) -> bool:
        """Return True if a file may pass although its bytes do not prove its claim."""
        return False

    def _allows(self, content_type: str | None) -> bool:
        return self._allowed is None or _matches(content_type or UNKNOWN, self._allowed)


def is_proven(file: File) -> bool:
    """Return True if the bytes of a file prove some type."""
    content = file.original_content
    content.seek(0)
    found = detection.detect(content.read(HEAD_SIZE))
    content.seek(0)
    return found is not None


def parsed_types(content_types: Collection[str] | str) -> frozenset[str]:
    """Return content types under their one name each; `TypeError` or `ValueError` for others."""
    listed = [content_types] if isinstance(content_types, str) else list(content_types)
    if not all(isinstance(content_type, str) for content_type in listed):
        raise TypeError(
            f"allowed_content_types is a list of str, as in ['image/*'], not {content_types!r}"
        )
    return frozenset(_parse(content_type) for content_type in listed)


def _parse(content_type: str) -> str:
    name = canonical(content_type) or type_of_suffix(content_type.strip())
    if name is not None:
        return name
    main, slash, rest = content_type.strip().lower().partition("/")
    if (slash and rest == "*") and (main == "*" or canonical(f"{main}/x") is not None):
        return f"{main}/*"
    raise ValueError(
        f"{content_type!r} is no content type: expected one as 'image/png' or 'image/*', "
        "or a suffix as 'pdf'"
    )


def _matches(content_type: str, allowed: frozenset[str]) -> bool:
    name = canonical(content_type) or UNKNOWN
    family = f"{name.partition('/')[0]}/*"
    return not allowed.isdisjoint((name, family, "*/*"))


def _judged(file: File) -> str:
    if file._state.is_encoded:
        return str(file["content_type"])  # the bytes only show the compression
    content = file.original_content
    content.seek(0)
    content_type = detection.content_type_of(content, file["content_type"], file["filename"])
    content.seek(0)
    return content_type
