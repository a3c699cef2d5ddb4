"""Content types, from the bytes, the declared type and the file name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.detection.names import canonical, essence, guess_type, type_of_suffix
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN
from sqlalchemy_file.support.names import late

if TYPE_CHECKING:
    from sqlalchemy_file.detection.content import certain_type, content_type_of, detect, judge

__all__ = [
    "HEAD_SIZE",
    "UNKNOWN",
    "canonical",
    "certain_type",
    "content_type_of",
    "detect",
    "essence",
    "guess_type",
    "judge",
    "type_of_suffix",
]

HEAD_SIZE = 4096
"""How many bytes from the start of a file are looked at first; most formats need no more."""

_BY_CONTENT = ("certain_type", "content_type_of", "detect", "judge")

__getattr__: Callable[[str], Any] = late(
    __name__, dict.fromkeys(_BY_CONTENT, "sqlalchemy_file.detection.content")
)
