"""All kept files on one self-contained page, the thumbnails inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager

PAGE = (Path(__file__).parent / "contact_sheet.html").read_text(encoding="utf-8")


def write_contact_sheet(session: Session, columns: Sequence[Any], folder: Path) -> Path:
    sheet = folder / "contact-sheet.html"
    cards = "\n".join(cards_of(session, columns))
    sheet.write_text(PAGE.replace("<!-- cards -->", cards), encoding="utf-8")
    return sheet


def cards_of(session: Session, columns: Sequence[Any]) -> Iterator[str]:
    for column in columns:
        for title, file in session.execute(select(column.class_.title, column).order_by("id")):
            if file is not None:
                yield card(title, file)
