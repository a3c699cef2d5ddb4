"""Compare the objects of rows and storages, and print them as a table."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager


@dataclass(frozen=True)
class Held:
    """One object that a row names: for what, and of which type and size."""

    path: str
    row: str
    what: str
    content_type: str


class Inventory:
    """Remembers the objects of the storages, to print the changes."""

    def __init__(self, columns: Sequence[Any]) -> None:
        self.columns = columns
        self.before: dict[str, list[str]] = {}
        self.agreed = True

    def print_changes(self, session: Session) -> None:
        """Print each object, "+" before a new one and "-" before a deleted one."""
        named = {held.path: held for held in named_objects(session, self.columns)}
        stored = dict(stored_objects())
        in_order = [*(path for path in named if path in stored), *(stored.keys() - named.keys())]
        now = {path: cells(path, stored[path], named.get(path)) for path in in_order}
        gone = {path: row for path, row in self.before.items() if path not in now}
        print_table(
            ["", "row", "what", "content type", "bytes", "object"],
            [["+" if path not in self.before else " ", *row] for path, row in now.items()]
            + [["-", *row] for row in gone.values()],
        )
        self.before = now
        self.compare(set(named), set(stored))

    def compare(self, named: set[str], stored: set[str]) -> None:
        missing, left_over = named - stored, stored - named
        if missing or left_over:
            self.agreed = False
            print(f"   THEY DISAGREE: {missing or 'none'} missing, {left_over or 'none'} left over")
        else:
            print(f"   {len(named)} objects in rows, {len(stored)} in the storages: they agree")


def named_objects(session: Session, columns: Sequence[Any]) -> Iterator[Held]:
    """Yield the objects that committed rows refer to, without a request to a storage."""
    for column in columns:
        for title, file in session.execute(select(column.class_.title, column).order_by("id")):
            if file is not None:
                yield from objects_of(title, file)


def objects_of(title: str, file: File) -> Iterator[Held]:
    yield Held(file.path, title, file.filename, file.content_type)
    if "thumbnail" in file:
        yield Held(file.thumbnail["path"], title, "  thumbnail", "image/png")
    for name, variant in file.get("variants", {}).items():
        yield Held(variant["path"], title, f"  {name}", variant["content_type"])


def stored_objects() -> Iterator[tuple[str, int]]:
    """Yield path and size of everything that lies in the storages."""
    for name in ("pictures", "documents"):
        for info in StorageManager.storage(name).list():
            yield f"{name}/{info.key}", info.size


def cells(path: str, size: int, held: Held | None) -> list[str]:
    short = f"{path[:-36]}…{path[-6:]}"
    if held is None:
        return ["(no row)", "", "", f"{size:,}", short]
    return [held.row, held.what, held.content_type, f"{size:,}", short]


def print_table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(width, column)) for column in zip(head, *rows, strict=True)]
    rule = ["─" * size for size in widths]
    for row in [head, rule, *rows]:
        print("   " + "  ".join(padded(*cell) for cell in zip(row, widths, strict=True)).rstrip())


def padded(cell: str, size: int) -> str:
    space = " " * (size - width(cell))
    is_number = cell == "bytes" or cell.replace(",", "").isdigit()
    return space + cell if is_number else cell + space


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each Chinese character."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
