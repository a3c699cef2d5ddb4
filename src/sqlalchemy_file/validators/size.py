"""Validation of sizes."""

from __future__ import annotations

import os

from sqlalchemy_file.exceptions import SizeValidationError
from sqlalchemy_file.file import File, Validator
from sqlalchemy_file.helpers import convert_size


class SizeValidator(Validator):
    """Refuses files larger than ``max_size`` or smaller than ``min_size``.

        SizeValidator("10M", min_size=1)

    Sizes are bytes, or text such as ``"2M"`` or ``"500Ki"``. Zero is no limit; ``min_size=1``
    refuses empty files.
    """

    def __init__(self, max_size: float | str = 0, min_size: float | str = 0) -> None:
        self.max_size = max_size
        self.min_size = min_size
        self._most = convert_size(max_size)
        self._least = convert_size(min_size)
        if 0 < self._most < self._least:
            raise ValueError(f"min_size {min_size} is above max_size {max_size}: no file would fit")

    def process(self, file: File, attr_key: str) -> None:
        size = _size_of(file)
        if self._most and size > self._most:
            raise self._too_large(attr_key, size, f"{size} bytes")
        if size < self._least:
            message = f"The file is too small ({size} bytes). Allowed minimum size is"
            raise SizeValidationError(
                attr_key,
                f"{message} {self.min_size}.",
                code="too_small",
                params={"size": size, "min_size": self._least},
            )

    def process_early(self, file: File, attr_key: str, size: int) -> None:
        """Refuse a stream as soon as it is too long."""
        if self._most and size > self._most:
            raise self._too_large(attr_key, size, f"more than {self._most} bytes")

    def _too_large(self, attr_key: str, size: int, given: str) -> SizeValidationError:
        return SizeValidationError(
            attr_key,
            f"The file is too large ({given}). Allowed maximum size is {self.max_size}.",
            code="too_large",
            params={"size": size, "max_size": self._most},
        )


def _size_of(file: File) -> int:
    if file.get("size") is None:
        return file.original_content.seek(0, os.SEEK_END)
    return int(file["size"])
