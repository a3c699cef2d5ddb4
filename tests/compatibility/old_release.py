"""What release 0.7.0 left behind: a table, its rows as they were written, and their objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Integer, text
from sqlalchemy.orm import Session, declarative_base

from sqlalchemy_file import FileField, ImageField

Base = declarative_base()


class Document(Base):  # type: ignore[misc,valid-type]
    __tablename__ = "document"
    id = Column(Integer, primary_key=True)
    content = Column(FileField)
    cover = Column(ImageField(thumbnail_size=(8, 8)))
    pages = Column(FileField(multiple=True))


# What release 0.7.0 wrote, shortened where it says nothing.

BODY = "5e2d8221-b367-4625-8ce7-a746b5341977"
COVER = "f33690f8-4427-4405-8902-c24336e14312"
THUMB = "a628ebcd-c1e2-403a-b77f-b10426f89623"
ONE = "66dd8fed-c70a-489a-a38d-9cebba8055f0"
TWO = "500bcfc1-c4b1-48ba-8654-141e3539b98a"

OBJECTS = {
    BODY: (
        b"hello",
        '{"by": "me", "filename": "../h\\u00e9llo.txt", "content_type": "text/plain"}',
    ),
    COVER: (b"\x89PNG\r\n\x1a\n", '{"filename": "c.png", "content_type": "image/png"}'),
    THUMB: (
        b"\x89PNG\r\n\x1a\nthumbnail",
        '{"filename": "c.png.thumbnail8x4.png", "content_type": "image/png", "width": 8}',
    ),
    ONE: (b"one", '{"filename": "unnamed", "content_type": "application/octet-stream"}'),
    TWO: (b"two", '{"filename": "two.css", "content_type": "text/css"}'),
}


def _record(key: str, filename: str, content_type: str, size: int) -> dict[str, Any]:
    return {
        "content_path": None,
        "filename": filename,
        "content_type": content_type,
        "size": size,
        "files": [f"att/{key}"],
        "extra": {
            "content_type": content_type,
            "meta_data": {"filename": filename, "content_type": content_type},
        },
        "file_id": key,
        "upload_storage": "att",
        "uploaded_at": "2023-11-23T11:26:00.138338+00:00",
        "path": f"att/{key}",
        "url": f"up/att/{key}",
        "saved": True,
    }


CONTENT_RECORD = {**_record(BODY, "../h\u00e9llo.txt", "text/plain", 5), "pages": 3}
COVER_RECORD = {
    **_record(COVER, "c.png", "image/png", 8),
    "files": [f"att/{COVER}", f"att/{THUMB}"],
    "width": 16,
    "height": 8,
    "thumbnail": {
        "file_id": THUMB,
        "width": 8,
        "height": 4,
        "upload_storage": "att",
        "path": f"att/{THUMB}",
        "url": f"up/att/{THUMB}",
    },
}
PAGES_RECORD = [
    _record(ONE, "unnamed", "application/octet-stream", 3),
    _record(TWO, "two.css", "text/css", 3),
]


def lay(session: Session, folder: Path) -> None:
    """Put the rows and files of a program that ran on 0.7.0 where they were."""
    for key, (content, metadata) in OBJECTS.items():
        (folder / key).write_bytes(content)
        (folder / f"{key}.metadata.json").write_text(metadata)
    session.execute(
        text("INSERT INTO document VALUES (1, :a, :b, :c), (2, 'null', 'null', 'null')"),
        {
            "a": json.dumps(CONTENT_RECORD),
            "b": json.dumps(COVER_RECORD),
            "c": json.dumps(PAGES_RECORD),
        },
    )
    session.commit()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
