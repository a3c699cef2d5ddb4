"""What programs and operators of the town do: each step is whole, or refused."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from sqlalchemy_file import File

from .operators import Card, Program, Sheet

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


def move(session: Session, dice: Random) -> None:
    """Give the file of one row to another row, of the same table or of another one."""
    givers = [*session.scalars(select(Sheet)), *session.scalars(select(Card))]
    owners = [row for row in givers if row.cover is not None]
    if len(givers) > 1 and owners:
        giver = dice.choice(owners)
        taker = dice.choice([row for row in givers if row is not giver])
        taker.cover, giver.cover = giver.cover, dice.choice([None, taker.cover])


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


def within_savepoint(session: Session, dice: Random) -> None:
    kept = dice.random() < 0.5
    try:
        with session.begin_nested():
            dice.choice(PLAIN)(session, dice)
            session.flush()
            if not kept:
                raise _UndoneError
    except _UndoneError:
        pass
    dice.choice(PLAIN)(session, dice)


class _UndoneError(Exception):
    pass


PLAIN = (put_sheet, put_sheet, put_card, move, move, remove, remove_many, clear_many, insert_many)
WRITES: tuple[Callable[[Session, Random], None], ...] = (*PLAIN, within_savepoint)

STATEMENTS = (
    "DELETE FROM town_sheet WHERE id = {one}",
    "DELETE FROM town_card WHERE id <= {one}",
    "UPDATE town_sheet SET cover = NULL WHERE id = {one}",
    "INSERT INTO town_sheet (id, cover) SELECT id + 10, cover FROM town_sheet WHERE id = {one}",
    "INSERT INTO town_sheet (id, cover) SELECT id + 20, cover FROM town_card WHERE id = {one}",
    "UPDATE town_card SET cover = (SELECT cover FROM town_sheet WHERE id = {one}) WHERE id = {two}",
    "DELETE FROM town_sheet WHERE id >= 10",
)
"""What is written without the library: deletions, copies, and moves by copy and deletion."""


def write(program: Program, dice: Random) -> str:
    """Write by a session, and return what it does."""
    action, commit = dice.choice(WRITES), dice.random() < 0.8
    told = f"{action.__name__}, {'commit' if commit else 'rollback'}"
    program.write(lambda session: action(session, dice), commit=commit)
    return told


def execute(program: Program, dice: Random) -> str:
    """Write without the library, and return the statement."""
    statement = dice.choice(STATEMENTS).format(one=dice.choice(ROWS), two=dice.choice(ROWS))
    program.execute(statement)
    return statement
