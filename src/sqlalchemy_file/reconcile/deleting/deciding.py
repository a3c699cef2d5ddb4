"""Decide whether an object may be deleted, as a pure function.

An entry of the ledger, or an object of a listing without a row, is a hint. Only this module turns
it into a deletion.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts about an object that may be deleted.

    ``is_named`` is whether a row names it in a snapshot taken after the barrier; ``is_moving``
    whether that snapshot holds a note of it which could not be seen before the barrier.
    """

    is_added: bool
    """Whether its storage has been added to this process."""
    is_ours: bool
    """Whether its key is one that this package makes, or that a field may have chosen."""
    is_named: bool
    is_moving: bool = False
    objection: tuple[str, str] | None = None
    """Whose it is otherwise, as a kind of finding and the reason; see `Ownership`."""
    is_kept: bool = False
    """Whether a field that keeps what it releases has released it, or may have."""


def verdict(facts: Facts) -> tuple[str, str | None]:
    """Return the kind of `Finding` that an object is, ``deleted`` if it may be, and why.

    A reference counts first: what a row names stays, whoever it belongs to.
    """
    if facts.is_named:
        return "named", None
    if not facts.is_added:
        return "foreign", "its storage has not been added: call StorageManager.add_storage() first"
    if not facts.is_ours:
        return "foreign", "its key is not one that this package makes, or that a field chooses here"
    if facts.objection is not None:
        return facts.objection
    if facts.is_kept:
        return "kept", None
    return ("waiting", _MOVING) if facts.is_moving else ("deleted", None)


_MOVING = "rows that name it come and go; it will be tried again"
