"""The signatures of ledgers in a storage: a small object for each, under a reserved prefix."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy_file.exceptions import ObjectNotFoundError
from sqlalchemy_file.storage.common.keys import RESERVED
from sqlalchemy_file.storage.common.protocol import Attributes, HasNotes, HasPath, Storage
from sqlalchemy_file.storage.local.files import noted_at

_NAME = re.compile(r"([0-9a-f-]{36})-([0-9a-f]{8})\.json")


@dataclass(frozen=True, slots=True)
class Owner:
    """A ledger that stores objects in one epoch. ``name`` says where its database is."""

    ledger: str
    epoch: int
    server: str
    name: str

    @property
    def signature(self) -> str:
        """Its id; copies of a database have the same ledger, and another epoch."""
        return f"{self.ledger}-{self.epoch:08x}"

    @property
    def note(self) -> str:
        """The name of its note in a storage."""
        return f"{self.signature}.json"

    def __str__(self) -> str:
        return f"{self.signature} ({self.name})"


class _Reserved:
    """Notes as objects under a reserved prefix, for storages without notes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def notes(self) -> dict[str, bytes]:
        names = [info.key.removeprefix(RESERVED) for info in self._storage.list(RESERVED)]
        found = {name: self.note(name) for name in names}
        return {name: note for name, note in found.items() if note is not None}  # else removed

    def note(self, name: str) -> bytes | None:
        with suppress(ObjectNotFoundError):
            return b"".join(self._storage.stream(f"{RESERVED}{name}"))
        return None

    def add_note(self, name: str, content: bytes) -> None:
        self._storage.put(f"{RESERVED}{name}", io.BytesIO(content), Attributes())

    def remove_note(self, name: str) -> None:
        self._storage.delete([f"{RESERVED}{name}"])


def keeper_of(storage: Storage) -> HasNotes:
    return storage if isinstance(storage, HasNotes) else _Reserved(storage)


def is_signed(storage: Storage, owner: Owner) -> bool:
    return note_of(storage, owner.note) is not None


def sign(storage: Storage, owner: Owner) -> None:
    """Write the signature of an owner into a storage; idempotent."""
    said = {"ledger": owner.ledger, "server": owner.server, "name": owner.name}
    keeper_of(storage).add_note(owner.note, json.dumps(said).encode())


def note_of(storage: Storage, name: str) -> bytes | None:
    keeper = keeper_of(storage)
    return keeper.note(name) if isinstance(keeper, _Reserved) else keeper.notes().get(name)


def owners_of(storage: Storage) -> list[Owner]:
    """Return all ledgers that have signed a storage, with each of their epochs."""
    return _owners_in(keeper_of(storage).notes())


def owners_above(root: str) -> Iterator[tuple[str, Owner]]:
    """Yield the folders above a local one that are signed, each with an owner."""
    for folder in Path(root).parents:
        notes = noted_at(str(folder))
        notes |= {file.name: b"" for file in (folder / RESERVED).glob("*.json")}
        for owner in _owners_in(notes):
            yield str(folder), owner


def folder_owners(storage: Storage, folder: str) -> list[Owner]:
    """Return the ledgers that have signed a folder of a storage as one of their own storages."""
    listed = storage.list(f"{folder}/{RESERVED}")
    notes = {info.key.rpartition("/")[2]: b"" for info in listed}
    if isinstance(storage, HasPath):
        notes |= noted_at(str(storage.path(folder)))
    return _owners_in(notes)


def _owners_in(notes: Mapping[str, bytes]) -> list[Owner]:
    return [
        Owner(match[1], int(match[2], 16), *_said(content))
        for name, content in sorted(notes.items())
        if (match := _NAME.fullmatch(name))
    ]


def _said(content: bytes) -> tuple[str, str]:
    try:
        said = json.loads(content)
        return str(said["server"]), str(said["name"])
    except (ValueError, TypeError, KeyError):
        return "", "a database that cannot be named"
