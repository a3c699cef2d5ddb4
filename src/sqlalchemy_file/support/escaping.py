"""Escape untrusted text for log lines and terminals."""

from __future__ import annotations


def escaped(text: object) -> str:
    """Return text as one line without control and bidirectional characters.

    What is not printable is escaped as in Python's literals: line breaks, control characters,
    bidirectional controls, lone surrogates.
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in words
    )
