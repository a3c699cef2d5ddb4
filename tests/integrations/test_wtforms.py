"""Upload fields of WTForms: what a form shows of a row's files, and what it changes."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.datastructures import FormData, UploadFile
from werkzeug.datastructures import FileStorage, MultiDict
from wtforms import Form
from wtforms.validators import InputRequired, Optional

from sqlalchemy_file import File, FileField
from sqlalchemy_file.integrations.wtforms import StoredFileField, StoredFilesField, file_markup
from tests.stores import contents


class Base(DeclarativeBase):
    pass


class Album(Base):
    __tablename__ = "form_album"
    id: Mapped[int] = mapped_column(primary_key=True)
    cover: Mapped[File | None] = mapped_column(FileField)
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


class AlbumForm(Form):
    cover = StoredFileField(validators=[Optional()])
    pages = StoredFilesField()


class StrictForm(Form):
    cover = StoredFileField(validators=[InputRequired()])


@pytest.fixture
def album(session: Session) -> Album:
    album = Album(
        cover=File(b"cover", filename="cover.txt"),
        pages=[File(name.encode(), filename=f"{name}.txt") for name in ("one", "two")],
    )
    session.add(album)
    session.commit()
    return album


def werkzeug_form(*pairs: tuple[str, Any]) -> Any:
    return MultiDict([
        (name, FileStorage(io.BytesIO(value[1]), value[0]) if isinstance(value, tuple) else value)
        for name, value in pairs
    ])  # fmt: skip


def starlette_form(*pairs: tuple[str, Any]) -> Any:
    return FormData([
        (name, UploadFile(io.BytesIO(value[1]), filename=value[0]))
        if isinstance(value, tuple)
        else (name, value)
        for name, value in pairs
    ])  # fmt: skip


@pytest.fixture(params=[werkzeug_form, starlette_form])
def sent(request: pytest.FixtureRequest) -> Any:
    return request.param


NOTHING = ("", b"")


def filled(session: Session, album: Album, data: Any, kind: type[Form] = AlbumForm) -> Form:
    form = kind(data, obj=album)
    assert form.validate(), form.errors
    form.populate_obj(album)
    session.commit()
    return form


def names(album: Album) -> list[str]:
    return [page.filename for page in album.pages or ()]


def token(album: Album, number: int) -> str:
    tokens: Any = AlbumForm(obj=album).pages.kept_parts()
    return str(tokens[number].token)


def test_a_form_without_a_choice_leaves_the_files_alone(
    session: Session, album: Album, sent: Any
) -> None:
    before = dict(album.cover or {})
    filled(session, album, sent(("cover", NOTHING), ("pages", NOTHING)))
    filled(session, album, sent())
    assert dict(album.cover or {}) == before
    assert names(album) == ["one.txt", "two.txt"]


def test_an_upload_replaces_a_file_and_a_box_removes_it(
    session: Session, album: Album, sent: Any
) -> None:
    filled(session, album, sent(("cover", ("new.txt", b"new"))))
    assert album.cover is not None
    assert album.cover.filename == "new.txt"
    filled(session, album, sent(("cover", NOTHING), ("cover-remove", "x")))
    assert album.cover is None


def test_several_files_are_replaced_in_place_removed_and_appended(
    session: Session, album: Album, sent: Any
) -> None:
    changes = [
        (f"pages-replace-{token(album, 0)}", ("1.txt", b"1")),
        ("pages-remove", token(album, 1)),
        ("pages", ("three.txt", b"3")),
        ("pages", ("four.txt", b"4")),
    ]
    filled(session, album, sent(*changes))
    assert names(album) == ["1.txt", "three.txt", "four.txt"]
    from sqlalchemy_file import StorageManager

    assert contents(StorageManager.storage("main")) == [b"1", b"3", b"4", b"cover"]


def test_a_file_that_somebody_else_has_removed_is_not_brought_back(
    session: Session, album: Album, sent: Any
) -> None:
    first = token(album, 0)
    assert album.pages is not None
    del album.pages[0]
    session.commit()
    filled(session, album, sent((f"pages-replace-{first}", ("1.txt", b"1"))))
    assert names(album) == ["two.txt"]


def test_a_box_removes_no_file_that_somebody_else_has_put_there(
    session: Session, album: Album, sent: Any
) -> None:
    (seen,) = AlbumForm(obj=album).cover.kept_parts()
    box = [("cover-current", seen.token), ("cover-remove", seen.token)]
    album.cover = File(b"newer", filename="newer.txt")
    session.commit()
    filled(session, album, sent(*box))
    assert album.cover.filename == "newer.txt"
    (seen,) = AlbumForm(obj=album).cover.kept_parts()
    filled(session, album, sent(("cover-current", seen.token), ("cover-remove", seen.token)))
    assert album.cover is None


def test_a_file_that_stays_is_input_enough_for_a_required_field(
    session: Session, album: Album, sent: Any
) -> None:
    filled(session, album, sent(("cover", NOTHING)), StrictForm)
    assert not StrictForm(sent(("cover", NOTHING)), obj=Album()).validate()
    assert not StrictForm(sent(("cover", NOTHING), ("cover-remove", "x")), obj=album).validate()
    assert StrictForm(sent(("cover", ("a.txt", b"a"))), obj=Album()).validate()


def test_a_form_tells_nothing_of_where_files_are_kept(album: Album) -> None:
    assert album.cover is not None
    shown = str(AlbumForm(obj=album).cover()) + str(AlbumForm(obj=album).pages())
    assert "cover.txt" in shown
    assert album.cover.file_id not in shown
    assert "main/" not in shown


def test_names_of_files_are_escaped(session: Session) -> None:
    album = Album(cover=File(b"x", filename='"><script>.txt'))
    session.add(album)
    session.commit()
    assert "<script>" not in file_markup(album.cover)
    assert "<script>" not in AlbumForm(obj=album).cover()


def test_an_input_tells_browsers_what_it_takes(album: Album) -> None:
    empty, filled_in = StrictForm(obj=Album()).cover(), StrictForm(obj=album).cover()
    assert re.search(r'<input type="file"[^>]* required', empty)
    assert "required" not in filled_in
    assert "cover-remove" not in filled_in
    form = AlbumForm(obj=album)
    assert "cover-remove" in form.cover()
    assert re.search(r'<input type="file" name="pages"[^>]* multiple', form.pages())
    assert "multiple" not in form.cover()


def test_a_column_without_a_file_is_shown_as_nothing() -> None:
    assert file_markup(None) == ""


def test_classes_of_an_input_are_given_as_wtforms_takes_them() -> None:
    assert ' class="wide"' in AlbumForm().cover(class_="wide")
