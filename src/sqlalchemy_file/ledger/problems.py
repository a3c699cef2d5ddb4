"""Problems of a ledger, as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy_file.ledger.installing import State
from sqlalchemy_file.ledger.tables import RELEASES
from sqlalchemy_file.ledger.triggers import Found


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of one table: of its triggers, or that the table is missing.

    ``kind`` is "missing table", "missing column", "missing trigger", "out of date", "disabled",
    "wrong type" or "unknown table" (a table outside the metadata writes into this ledger). Problems
    of the ledger's own table are also "rights", "unknown column" and "missed notes": an entry could
    not be written, and only a full pass finds the object. A status adds "unreadable": the account
    cannot read file columns. ``message`` says what to do.
    """

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


def problems_of(state: State, schema: str | None) -> Iterator[Problem]:
    """Yield the problems in the catalog, as sentences."""
    if state.ledger is None:
        name = f"{schema}.{RELEASES}" if schema else RELEASES
        yield Problem(name, "missing table", f"there is no such table; {_ADVICE}")
    for flaw in state.flaws:
        advice = f"; {_ADVICE}" if flaw.repair else ""
        yield Problem(str(state.ledger), flaw.kind, f"{flaw.message}{advice}")
    yield from _of_metadata(state)
    yield from _of_triggers(state)


def _of_metadata(state: State) -> Iterator[Problem]:
    for absent in state.absent:
        message = (
            "it is in the metadata, but not in the database: create_all() of the metadata, or a "
            "migration, creates it"
        )
        yield Problem(str(absent), "missing table", message)
    for table, name in state.without:
        message = (
            f"the column {name!r} is in the metadata, but not in the database: run the migration "
            "that adds it"
        )
        yield Problem(str(table), "missing column", message)
    for table, name in state.unreadable:
        message = (
            f"triggers do not read its column {name!r}, because its type is not text, varchar, "
            "json or jsonb; give it one of these types"
        )
        yield Problem(str(table), "wrong type", message)


def _of_triggers(state: State) -> Iterator[Problem]:
    replaced = {(each.place, each.kind) for each in state.obsolete}
    for each in state.obsolete:
        message = f"{_noun(each)} {each.name} is out of date; {_ADVICE}"
        yield Problem(str(each.place), "out of date", message)
    for new in state.missing:
        if (new.place, new.kind) not in replaced:
            what = _MISSING.get(new.kind, f"the trigger for {new.kind.upper()}")
            message = f"{what} is missing; {_ADVICE}"
            yield Problem(str(new.place), "missing trigger", message)
    for each, _ in state.faulty:
        message = f"{_noun(each)} {each.name} does not work: {each.fault}; {_ADVICE}"
        yield Problem(str(each.place), "disabled", message)
    for each in state.unknown:
        message = (
            f"its trigger {each.name} writes into this ledger, but the metadata does not have "
            "the table, so the references of its rows are unknown; add the table to the metadata, "
            "or drop the trigger"
        )
        yield Problem(str(each.place), "unknown table", message)


def _noun(found: Found) -> str:
    return {"index": "the index", "kept": "the view"}.get(found.kind, "the trigger")


_MISSING = {
    "index": "an index on the paths",
    "kept": "the view that records kept objects",
    "notes": "the function that reads paths",
    "paths": "the function that reads paths",
}


_ADVICE = "ensure(connection) of the ledger, or a migration, repairs it"
