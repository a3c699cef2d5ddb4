"""A program of release 0.7.0: it runs unchanged on that release, and on this package.

``python release_0_7_program.py FOLDER COMMAND``; what it finds is written as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from libcloud.storage.drivers.local import LocalStorageDriver
from sqlalchemy import Column, Integer, create_engine, select
from sqlalchemy.orm import Session, declarative_base

from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.storage import StorageManager

Base = declarative_base()


class Document(Base):  # type: ignore[misc,valid-type]
    __tablename__ = "document"
    id = Column(Integer, primary_key=True)
    content = Column(FileField)
    cover = Column(ImageField(thumbnail_size=(8, 8)))
    pages = Column(FileField(multiple=True))


def picture() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (32, 16), "red").save(stream, "PNG")
    return stream.getvalue()


def write(session: Session) -> None:
    """Add two rows: one with everything, one with nothing."""
    full = Document(
        content=File(b"hello", filename="h\u00e9llo.txt", content_type="text/plain", pages=3),
        cover=File(picture(), filename="c.png", content_type="image/png"),
        pages=[File(b"one", filename="1.txt"), File(b"two", filename="2.txt")],
    )
    session.add_all([full, Document(pages=[])])
    session.commit()


def change(session: Session) -> None:
    """Replace a file, empty an attribute, and take one out of a list."""
    full = session.scalars(select(Document).order_by(Document.id)).first()
    assert full is not None
    full.content = File(b"changed", filename="new.txt")
    full.cover = None
    full.pages.pop(0)
    session.commit()


def remove(session: Session) -> None:
    for document in session.scalars(select(Document)):
        session.delete(document)
    session.commit()


def described(file: Any) -> dict[str, Any]:
    thumbnail = file.get("thumbnail")
    return {
        **{key: file.get(key) for key in ("filename", "content_type", "size", "pages", "width")},
        "text": file.file.read().decode("latin-1")[:20],
        "stored name": file.file.filename,
        "thumbnail": thumbnail and len(StorageManager.get_file(thumbnail["path"]).read()) > 0,
        "saved": file.saved,
    }


def read(session: Session) -> Any:
    found = []
    for document in session.scalars(select(Document).order_by(Document.id)):
        files = [document.content, document.cover, *(document.pages or [])]
        found.append([file and described(file) for file in files])
    return found


def main(folder: str, command: str) -> None:
    Path(folder, "att").mkdir(exist_ok=True)
    StorageManager.add_storage("att", LocalStorageDriver(folder).get_container("att"))
    engine = create_engine(f"sqlite:///{folder}/rows.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        commands = {"write": write, "change": change, "remove": remove, "read": read}
        sys.stdout.write(json.dumps(commands[command](session)))
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
