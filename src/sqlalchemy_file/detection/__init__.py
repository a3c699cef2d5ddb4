"""Content types, from the bytes, the declared type and the file name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.detection.names import canonical, essence, guess_type, type_of_suffix
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN
from sqlalchemy_file.support.first_use import late

if TYPE_CHECKING:
    from sqlalchemy_file.detection.content import (
        certain_type,
        content_type_of,
        decide,
        detect,
        judge,
        refutes,
    )

__all__ = [
    "HEAD_SIZE",
    "UNKNOWN",
    "canonical",
    "certain_type",
    "content_type_of",
    "decide",
    "detect",
    "essence",
    "guess_type",
    "judge",
    "refutes",
    "type_of_suffix",
]

HEAD_SIZE = 4096
"""How many bytes from the start of a file are looked at first; most formats need no more."""

__getattr__: Callable[[str], Any] = late(
    __name__,
    {
        "certain_type": "sqlalchemy_file.detection.content",
        "content_type_of": "sqlalchemy_file.detection.content",
        "decide": "sqlalchemy_file.detection.content",
        "detect": "sqlalchemy_file.detection.content",
        "judge": "sqlalchemy_file.detection.content",
        "refutes": "sqlalchemy_file.detection.content",
    },
)
