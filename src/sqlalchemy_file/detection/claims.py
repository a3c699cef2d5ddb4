"""What is claimed about a file, and when its bytes refute it."""

from __future__ import annotations

from sqlalchemy_file.detection.formats.archives import ZIP
from sqlalchemy_file.detection.formats.signatures import KNOWN_TYPES
from sqlalchemy_file.detection.names import canonical, guess_type
from sqlalchemy_file.detection.tables import rows
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

_SPECIAL_CASES = {name: tuple(names) for name, *names in rows("claims")}
_ZIPPED, _ACTIVE, _UNMARKED, _BINARY, _TEXTUAL, _NEVER_TEXT = map(
    _SPECIAL_CASES.pop, ("zipped", "active", "unmarked", "binary", "textual", "never-text")
)
NARROWED = frozenset({"text/xml", *_SPECIAL_CASES})
"""Detected types that have special cases."""

_SIGNED = KNOWN_TYPES.union(
    case
    for cases in _SPECIAL_CASES.values()
    for case in cases
    if not case.endswith(("/", "-", ".")) and not case.startswith("text/")
).difference(_UNMARKED)
"""Types whose files all begin with a signature: without it the claim is refuted."""


def decide(
    detected: str | None, declared: str | None, filename: str | None, *, is_text: bool = False
) -> str:
    """Return the content type of a file: what its bytes prove, if they prove something.

    Otherwise the declared type counts, then the name, unless the bytes refute them; also where
    these narrow down what the bytes prove: a .docx is a ZIP archive, and text/xml may be Atom.
    `UNKNOWN` if nothing is left.
    """
    if detected is not None and detected not in NARROWED:
        return detected  # as for most files
    for claim in (canonical(declared), guess_type(filename)):
        if claim is not None and _is_believed(claim, detected, is_text=is_text):
            return claim
    return detected or UNKNOWN


def refutes(detected: str | None, claimed: str, *, is_text: bool = False) -> bool:
    """Return True if bytes of the type ``detected`` cannot be of the claimed type."""
    name = canonical(claimed)
    if name is None or name == detected or _narrows(name, detected or ""):
        return False
    is_marked = name in _SIGNED or name.startswith(_ZIPPED)
    return detected is not None or is_marked or (is_text and _is_binary(name))


def table_type(head: bytes, declared: str | None) -> str | None:
    """Return the type of a text that is a table, which an office program claims as its own."""
    if canonical(declared) != "application/vnd.ms-excel":
        return None
    first, second = (*head.split(b"\n", 2), b"")[:2]
    marks = (b"\t", b",", b";")
    mark = next((each for each in marks if 0 < first.count(each) == second.count(each)), None)
    return {None: None, b"\t": "text/tab-separated-values"}.get(mark, "text/csv")


def _is_believed(claim: str, detected: str | None, *, is_text: bool) -> bool:
    if detected is not None:
        return _narrows(claim, detected)
    return claim != UNKNOWN and not refutes(None, claim, is_text=is_text)


def _is_binary(name: str) -> bool:
    return name in _NEVER_TEXT or (name.startswith(_BINARY) and name not in _TEXTUAL)


def _narrows(name: str, detected: str) -> bool:
    """Return True if a type is a special case of what the bytes prove."""
    if detected == "text/xml":
        return name.endswith("+xml")
    cases = _SPECIAL_CASES.get(detected, ())
    if name in cases:
        return True
    if name == UNKNOWN or name in _ACTIVE or name in _SIGNED:
        return False
    if name.startswith(_ZIPPED):
        zipped = tuple(case for case in cases if case.startswith(_ZIPPED))
        return detected == ZIP or name.startswith(zipped)
    return name.startswith(cases)
