"""What programs and operators of the town do: each step is whole, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from sqlalchemy_file import File

from .operators import Card, Program, Sheet

Write = Callable[[Session, Random], None]

ROWS = range(1, 5)
"""Few rows, so that steps meet."""


def new_file(dice: Random, *, wanted_key: str = "") -> File:
    return File(dice.randbytes(dice.randint(1, 30)), wanted_key=wanted_key)


def put_sheet(session: Session, dice: Random) -> None:
    number = dice.choice(ROWS)
    sheet = session.get(Sheet, number) or Sheet(id=number)
    session.add(sheet)
    if dice.random() < 0.6:
        sheet.cover = new_file(dice)
    else:
        sheet.pictures = [*(sheet.pictures or []), new_file(dice)][-3:]


def put_card(session: Session, dice: Random) -> None:
    """Store under a key that other cards have had before, or under a new one."""
    number = dice.choice(ROWS)
    card = session.get(Card, number) or Card(id=number, name="card")
    session.add(card)
    wanted = f"cards/{dice.choice('ab')}" if dice.random() < 0.5 else ""
    card.cover = new_file(dice, wanted_key=wanted)


def put_archive(session: Session, dice: Random) -> None:
    number = dice.choice(ROWS)
    sheet = session.get(Sheet, number) or Sheet(id=number)
    session.add(sheet)
    sheet.archive = new_file(dice)


def move(session: Session, dice: Random) -> None:
    """Give the file of one row to another row, of the same table or of another one."""
    _move(session, dice, [Sheet.cover, Card.cover])


def move_to_keep(session: Session, dice: Random) -> None:
    """The same with the field that keeps, from and to it, within a row as well."""
    _move(session, dice, [Sheet.cover, Sheet.archive, Sheet.archive, Card.cover])


def _move(session: Session, dice: Random, fields: Sequence[InstrumentedAttribute[Any]]) -> None:
    places = [(row, each.key) for each in fields for row in session.scalars(select(each.class_))]
    givers = [place for place in places if getattr(*place) is not None]
    if not givers:
        return
    giver = dice.choice(givers)
    takers = [place for place in places if place != giver]
    if takers:
        taker, moving = dice.choice(takers), getattr(*giver)
        instead = getattr(*taker) if dice.random() < 0.5 else None
        for (row, name), file in ((taker, moving), (giver, instead)):
            setattr(row, name, file)
            if file is not None:
                session.info["moved"].update(file.files)
                if name == "archive":
                    session.info["archived"].update(file.files)


def remove(session: Session, dice: Random) -> None:
    kind = dice.choice([Sheet, Card])
    found = session.get(kind, dice.choice(ROWS))
    if found is not None:
        session.delete(found)


def remove_many(session: Session, dice: Random) -> None:
    kind = dice.choice([Sheet, Card])
    session.execute(delete(kind).where(kind.id >= dice.choice(ROWS)))


def clear_many(session: Session, dice: Random) -> None:
    session.execute(update(Sheet).where(Sheet.id <= dice.choice(ROWS)).values(pictures=None))


def insert_many(session: Session, dice: Random) -> None:
    rows = [{"id": number, "cover": new_file(dice)} for number in dice.sample(ROWS, 2)]
    session.execute(insert(Sheet), rows)


def clear_archives(session: Session, dice: Random) -> None:
    session.execute(update(Sheet).where(Sheet.id <= dice.choice(ROWS)).values(archive=None))


def within_savepoint(session: Session, dice: Random, actions: Sequence[Write]) -> None:
    kept, archived = dice.random() < 0.5, set(session.info["archived"])
    try:
        with session.begin_nested():
            dice.choice(actions)(session, dice)
            session.flush()
            if not kept:
                raise _UndoneError
    except _UndoneError:
        session.info["archived"] = archived
    look = session.info["look"]
    look()  # the outermost savepoint of SQLite may have been the transaction
    dice.choice(actions)(session, dice)


class _UndoneError(Exception):
    pass


PLAIN: tuple[Write, ...] = (
    put_sheet, put_sheet, put_card, move, move, remove, remove_many, clear_many, insert_many
)  # fmt: skip
KEEPING: tuple[Write, ...] = (put_archive, put_archive, move_to_keep, move_to_keep, clear_archives)

STATEMENTS = (
    "DELETE FROM town_sheet WHERE id = {one}",
    "DELETE FROM town_card WHERE id <= {one}",
    "UPDATE town_sheet SET cover = NULL WHERE id = {one}",
    "INSERT INTO town_sheet (id, cover) SELECT id + 10, cover FROM town_sheet WHERE id = {one}",
    "INSERT INTO town_sheet (id, cover) SELECT id + 20, cover FROM town_card WHERE id = {one}",
    "UPDATE town_card SET cover = (SELECT cover FROM town_sheet WHERE id = {one}) WHERE id = {two}",
    "DELETE FROM town_sheet WHERE id >= 10",
)
KEEPING_STATEMENTS = (
    "UPDATE town_sheet SET archive = NULL WHERE id = {one}",
    "UPDATE town_sheet SET archive = cover, cover = NULL WHERE id = {one}",
    "UPDATE town_sheet SET cover = archive, archive = NULL WHERE id = {one}",
    "INSERT INTO town_sheet (id, archive) SELECT id + 10, cover FROM town_sheet WHERE id = {one}",
    "INSERT INTO town_sheet (id, cover) SELECT id + 20, archive FROM town_sheet WHERE id = {one}",
    "UPDATE town_card SET cover = (SELECT archive FROM town_sheet WHERE id = {two}) WHERE id = 1",
)
"""What is written without the library: deletions, copies, and moves by copy and deletion."""


@dataclass(frozen=True)
class Steps:
    """The writes of a schedule."""

    plain: tuple[Write, ...] = PLAIN
    statements: tuple[str, ...] = STATEMENTS

    def write(self, program: Program, dice: Random) -> tuple[str, set[str]]:
        """Write by a session; return what it does, and what it has moved."""
        action, commit = dice.choice([*self.plain, None]), dice.random() < 0.8
        told = f"{action.__name__ if action else 'savepoint'}, {'commit' if commit else 'rollback'}"
        action = action or partial(within_savepoint, actions=self.plain)
        return told, program.write(lambda session: action(session, dice), commit=commit)

    def execute(self, program: Program, dice: Random) -> tuple[str, set[str]]:
        """Write without the library; return the statement."""
        statement = dice.choice(self.statements).format(
            one=dice.choice(ROWS), two=dice.choice(ROWS)
        )
        program.execute(statement)
        return statement, set()


DELETING = Steps()
ALSO_KEEPING = Steps(PLAIN + 3 * KEEPING, STATEMENTS + 2 * KEEPING_STATEMENTS)
