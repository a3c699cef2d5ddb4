"""A page with all files, with the images inside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager

PAGE = Path(__file__).with_suffix(".html")

SHEET_OF_PAPER = """<svg viewBox="0 0 120 150" role="img" aria-label="{label}">
<path d="M8 0h74l38 38v104a8 8 0 0 1-8 8H8a8 8 0 0 1-8-8V8a8 8 0 0 1 8-8z" fill="#fffdf9"/>
<path d="M82 0v30a8 8 0 0 0 8 8h30z" fill="#d8d3c7"/>
<g fill="#cfcabf"><path d="M18 56h84v5H18zM18 70h84v5H18zM18 84h56v5H18z"/></g>
<text x="18" y="130" font-family="system-ui, sans-serif" font-size="22" font-weight="700"
 fill="#a8401f">{kind}</text></svg>"""

CARD = """<article>
<div class="mat">{picture}</div>
<div class="text">
<div><h2>{title}</h2><p class="name">{filename}</p></div>
<dl>{facts}</dl>
</div>
</article>"""


def write_contact_sheet(session: Session, columns: Sequence[Any], folder: Path) -> Path:
    """Write the page and return its path."""
    kept = [
        (title, file)
        for column in columns
        for title, file in session.execute(select(column.class_.title, column).order_by("id"))
        if file is not None
    ]
    page = PAGE.read_text(encoding="utf-8")
    page = page.replace("<!-- cards -->", "\n".join(card(title, file) for title, file in kept))
    objects = sum(len(file.files) for _, file in kept)
    page = page.replace("<!-- summary -->", f"{len(kept)} files, {objects} objects in all.")
    sheet = folder / "contact-sheet.html"
    sheet.write_text(page, encoding="utf-8")
    return sheet


def card(title: str, file: File) -> str:
    return CARD.format(
        picture=picture(title, file),
        title=escape(title),
        filename=escape(file.filename),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts(file)),
    )


def picture(title: str, file: File) -> str:
    """Return the small variant, inside the page; a sheet of paper for other files."""
    if "variants" not in file:
        kind = Path(file.filename).suffix.lstrip(".").upper() or "FILE"
        return SHEET_OF_PAPER.format(label=escape(f"{kind} file"), kind=escape(kind[:4]))
    small = file.variants["small"]
    with StorageManager.get_file(small["path"]) as stored:
        data = base64.b64encode(stored.read()).decode()
    return (
        f'<img src="data:{small["content_type"]};base64,{data}" alt="{escape(title)}" '
        f'width="{small["width"]}" height="{small["height"]}">'
    )


def facts(file: File) -> list[tuple[str, str]]:
    """Return what the record says of a file, as pairs of a name and HTML."""
    found = [
        ("Type", escape(file.content_type)),
        ("Size", f"{file.size:,} bytes".replace(",", "\N{THIN SPACE}")),
        ("Object", f"<code>{escape(file.path)}</code>"),
        ("Checksum", f"<code>{escape(file.checksum[:17])}…</code>"),
    ]
    if "variants" in file:
        sizes = [file.thumbnail, *file.variants.values()]
        text = ", ".join(f"{copy['width']}&nbsp;&times;&nbsp;{copy['height']}" for copy in sizes)
        found.insert(2, ("Copies", text))
    return found
