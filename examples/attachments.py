"""Attach files to rows, and watch the storage follow every transaction.

Run it with ``make run``. It needs only this package and Pillow. The database is SQLite, and the
files are in ``examples/output``, which each run creates again. After every step it prints the
objects that rows refer to, and those in the storages. They are always the same.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contact_sheet import write_contact_sheet
from inventory import Inventory, stored_objects
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.processors import Variant, Variants
from sqlalchemy_file.validators import ContentTypeValidator, ImageValidator, SizeValidator

HERE = Path(__file__).parent
FILES = HERE / "files"
OUTPUT = HERE / "output"


# --- the model: an ordinary one, with two file columns


class Base(DeclarativeBase):
    pass


class Entry(Base):
    """An entry of a travel diary."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    picture: Mapped[File | None] = mapped_column(
        ImageField(
            upload_storage="pictures",
            thumbnail_size=(128, 128),
            image_validator=ImageValidator(min_wh=(64, 64)),
            processors=[Variants(small=(320, 320), large=Variant((960, 960), "AVIF"))],
        )
    )
    attachment: Mapped[File | None] = mapped_column(
        FileField(
            upload_storage="documents",
            key=lambda file: f"{file.content_type.partition('/')[0]}/",
            validators=[SizeValidator("25M"), ContentTypeValidator(["application/pdf", "text/*"])],
        )
    )


# --- the steps: ordinary sessions


def attach(session: Session) -> None:
    session.add(Entry(title="Evening at the lake", picture=File(FILES / "photo.jpg")))
    session.add(Entry(title="The way", picture=File(FILES / "compass.png")))
    session.add(Entry(title="The plan", attachment=File(FILES / "trip-plan.pdf")))
    session.add(Entry(title="A note", attachment=File(FILES / "Grüße – résumé – 你好.txt")))  # noqa: RUF001
    # An iterator is enough, too. It is read once, in pieces, so that memory stays flat.
    session.add(Entry(title="Water levels", attachment=File(measured(), filename="levels.csv")))
    session.commit()


def replace(session: Session) -> None:
    plan = entry(session, "The plan")
    plan.attachment = File("Friday: rain. We stay at home.\n", filename="new-plan.txt")
    session.commit()


def delete(session: Session) -> None:
    session.delete(entry(session, "Water levels"))
    session.commit()


def roll_back(session: Session) -> None:
    session.add(Entry(title="Never happened", picture=File(FILES / "photo.jpg")))
    entry(session, "Evening at the lake").picture = None
    session.flush()
    print(f"   before the rollback, the storages have {len(list(stored_objects()))} objects")
    session.rollback()


def roll_back_to_a_savepoint(session: Session) -> None:
    note = entry(session, "A note")
    savepoint = session.begin_nested()
    note.attachment = File("Second thoughts\n", filename="second.txt")
    session.flush()
    print(f"   within the savepoint, the storages have {len(list(stored_objects()))} objects")
    savepoint.rollback()
    note.title = "A note, still the first"
    session.commit()


def refuse(session: Session) -> None:
    page = File(b"<html><script>alert('hello')</script>", filename="cat.png")
    session.add(Entry(title="No cat", picture=page))
    try:
        session.commit()
    except ValidationError as error:
        print(f"   refused: {error.msg}")
        session.rollback()


STEPS = [
    (attach, "Five entries with a file each are committed"),
    (replace, "The plan is replaced: the old object goes with the commit"),
    (delete, "The entry with 20 MB of water levels is deleted"),
    (roll_back, "A new picture is stored and an old one removed; then all is rolled back"),
    (roll_back_to_a_savepoint, "Replaced within a savepoint that is rolled back; the rest stays"),
    (refuse, "A web page with the name of an image is refused"),
]


# --- around them


def main() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for consoles that lack some characters
    engine = set_up()
    inventory = Inventory([Entry.picture, Entry.attachment])
    for number, (step, what) in enumerate(STEPS, 1):
        print(f"\n{number}. {what}")
        with Session(engine) as session:
            step(session)
            inventory.print_changes(session)
    with Session(engine) as session:
        sheet = write_contact_sheet(session, [Entry.picture, Entry.attachment], OUTPUT)
    print(f"\nAll files that are left: {sheet}")
    engine.dispose()
    return 0 if inventory.agreed else 1


def set_up() -> Engine:
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    StorageManager.add_storage("pictures", (OUTPUT / "pictures").as_uri(), create=True)
    StorageManager.add_storage("documents", (OUTPUT / "documents").as_uri(), create=True)
    engine = create_engine(f"sqlite:///{OUTPUT / 'diary.sqlite'}")
    begin_transactions_explicitly(engine)
    Base.metadata.create_all(engine)
    return engine


def begin_transactions_explicitly(engine: Engine) -> None:
    """Let SQLAlchemy begin transactions: Python's sqlite3 module begins them too late.

    Without this, SQLite has no working savepoints, with files or without.
    """

    @event.listens_for(engine, "connect")
    def leave_it_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def entry(session: Session, title: str) -> Entry:
    return session.query(Entry).filter_by(title=title).one()


def measured(megabytes: int = 20) -> Iterator[bytes]:
    """Yield a table of some size, a piece at a time."""
    yield b"minute,level\n"
    for start in range(0, megabytes * 50_000, 50_000):
        minutes = range(start, start + 50_000)
        yield "".join(f"{n:010},{3 + n % 97 / 50:08.3f}\n" for n in minutes).encode()


if __name__ == "__main__":
    sys.exit(main())
