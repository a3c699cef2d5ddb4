"""Files judged before the flush: all refusals at once, nothing stored, nothing judged twice."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.exceptions import (
    InvalidImageError,
    SizeValidationError,
    ValidationError,
    ValidationErrors,
)
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.transforms import StripMetadata
from sqlalchemy_file.validation import validate
from sqlalchemy_file.validators import ContentTypeValidator, SizeValidator, Validator
from tests.pictures import encoded, noise, quadrants
from tests.stores import add_memory, contents, keys

SEEN: list[str] = []


class Counting(Validator):
    def process(self, file: File, attr_key: str) -> None:
        SEEN.append(file.filename)
        file.original_content.read(1)


class Waiting(Validator):
    async def process(self, file: File, attr_key: str) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        SEEN.append(file.filename)
        if file.original_content.read() == b"virus":
            raise ValidationError(attr_key, "a virus", code="virus")


class ByRow(Validator):
    def process(self, file: File, attr_key: str, row: Any) -> None:  # type: ignore[override]
        SEEN.append(file.filename)


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "paper_ahead"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[File | None] = mapped_column(
        FileField(validators=[SizeValidator(10), ContentTypeValidator("text/*"), Counting()])
    )
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True, validators=[SizeValidator(10)])
    )
    picture: Mapped[File | None] = mapped_column(
        ImageField(thumbnail_size=(8, 8), transforms=[StripMetadata()], validators=[Counting()])
    )
    scanned: Mapped[File | None] = mapped_column(FileField(validators=[Waiting()]))
    owned: Mapped[File | None] = mapped_column(FileField(validators=[ByRow()]))


@pytest.fixture
def storage() -> MemoryStorage:
    SEEN.clear()
    return add_memory()


def test_all_refusals_are_raised_at_once_and_nothing_is_stored(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        first = Paper(text=File(b"x" * 11, filename="long.txt"), pages=[b"ok", b"y" * 12])
        second = Paper(text=File(encoded(quadrants(2, 2))[:9], filename="a.png"))
        session.add_all([first, second])
        with pytest.raises(ValidationErrors) as refused:
            validate(session)
        assert keys(storage) == []
        found = [
            (each.file["filename"], each.key, each.index, each.code, each.params.get("size"))
            for each in refused.value.exceptions
        ]
        assert found == [
            ("long.txt", "text", None, "too_large", 11),
            ("unnamed", "pages", 1, "too_large", 12),
            ("a.png", "text", None, "content_type", None),
        ]
        assert refused.value.exceptions[1].instance is first
        # The session goes on without a rollback.
        first.text, first.pages, second.text = File(b"short", "a.txt"), [], None
        validate(session)
        session.commit()
    assert contents(storage) == [b"short"]


def test_what_was_accepted_is_not_judged_again(engine: Engine, storage: MemoryStorage) -> None:
    handle = io.BytesIO(b"seekable")
    for content in (b"bytes", handle, iter([b"a ", b"stream"])):
        SEEN.clear()
        with Session(engine) as session:
            session.add(Paper(text=File(content, filename="a.txt")))
            validate(session)
            validate(session)
            session.commit()
        assert SEEN == ["a.txt"] * 2
    assert contents(storage) == [b"a stream", b"bytes", b"seekable"]


def _rewritten(paper: Paper, handle: io.BytesIO) -> None:
    handle.seek(0)
    handle.write(b"changed!")


def _renamed(paper: Paper, handle: io.BytesIO) -> None:
    assert paper.text is not None
    paper.text.filename = "b.txt"


def _replaced(paper: Paper, handle: io.BytesIO) -> None:
    assert paper.text is not None
    paper.text.original_content = b"changed!"


def _described(paper: Paper, handle: io.BytesIO) -> None:
    assert paper.text is not None
    paper.text["extra"]["meta_data"]["by"] = "somebody else"


@pytest.mark.parametrize("change", [_rewritten, _renamed, _replaced, _described])
def test_what_has_changed_is_judged_again(
    engine: Engine, storage: MemoryStorage, change: Any
) -> None:
    with Session(engine) as session:
        handle = io.BytesIO(b"seekable")
        extra = {"meta_data": {"by": "me"}}
        paper = Paper(text=File(handle, filename="a.txt", extra=extra))
        session.add(paper)
        validate(session)
        change(paper, handle)
        session.commit()
    assert len(SEEN) == 2
    kept = change in (_renamed, _described)
    assert contents(storage) == [b"seekable" if kept else b"changed!"]


def test_a_change_that_the_validators_refuse_is_refused(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        handle = io.BytesIO(b"short")
        session.add(Paper(text=File(handle, filename="a.txt")))
        validate(session)
        handle.seek(0)
        handle.write(b"x" * 20)
        with pytest.raises(SizeValidationError):
            session.commit()
    assert keys(storage) == []


def test_a_validator_that_takes_the_row_judges_again(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Paper(owned=File(b"x", filename="a")))
        validate(session)
        session.commit()
    assert SEEN == ["a", "a"]


def test_a_picture_is_decoded_ahead_although_a_thumbnail_follows(
    engine: Engine, storage: MemoryStorage
) -> None:
    whole = encoded(noise())
    with Session(engine) as session:
        session.add(Paper(picture=File(whole[: len(whole) // 2], filename="broken.png")))
        with pytest.raises(InvalidImageError):
            validate(session)
    assert keys(storage) == []
    SEEN.clear()
    with Session(engine, expire_on_commit=False) as session:
        paper = Paper(picture=File(encoded(quadrants()), filename="a.png"))
        session.add(paper)
        validate(session)
        session.commit()
    assert paper.picture is not None
    assert (paper.picture.width, paper.picture.variant("thumbnail").width) == (80, 8)
    assert SEEN == ["a.png"]
    assert len(keys(storage)) == 2


def test_a_file_that_was_rolled_back_can_be_stored_again(
    engine: Engine, storage: MemoryStorage
) -> None:
    file = File(b"short", filename="a.txt")
    with Session(engine) as session:
        session.add(Paper(text=file))
        validate(session)
        session.flush()
        session.rollback()
        assert keys(storage) == []
        session.add(Paper(text=file))
        validate(session)
        session.commit()
    assert contents(storage) == [b"short"]


def test_a_file_is_validated_for_a_column_before_it_has_a_row(
    engine: Engine, storage: MemoryStorage
) -> None:
    with pytest.raises(SizeValidationError) as refused:
        File(b"x" * 11, filename="a.txt").validated_for(Paper.text)
    assert (refused.value.key, refused.value.index) == ("text", None)
    assert refused.value.file["filename"] == "a.txt"
    file = File(b"short", filename="a.txt").validated_for(Paper.text)
    with Session(engine) as session:
        session.add(Paper(text=file))
        session.commit()
    assert SEEN == ["a.txt"]
    assert file.validated_for(Paper.text) is file  # it is stored
    for wrong in (Paper.id, Paper, "text", FileField()):
        with pytest.raises(TypeError, match="a mapped file column"):
            File(b"short").validated_for(wrong)


def _text_field() -> FileField:
    field = Paper.__table__.c.text.type
    assert isinstance(field, FileField)
    return field


@pytest.mark.parametrize("by", ["session", "column"])
def test_what_a_validator_that_was_added_since_refuses_is_refused(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    file = File(b"short", filename="a.txt")
    with Session(engine) as session:
        paper = Paper(text=file)
        session.add(paper)
        validate(session) if by == "session" else file.validated_for(Paper.text)
        field = _text_field()
        monkeypatch.setattr(field, "validators", [*field.validators, SizeValidator(4)])
        with pytest.raises(SizeValidationError):
            session.commit()
    assert keys(storage) == []


def test_a_file_is_judged_again_if_a_validator_or_a_transform_has_changed_since(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = _text_field()
    for name, steps in (
        ("validators", [Counting()]),
        ("validators", []),
        ("transforms", [lambda content: content.read() + b"!"]),
    ):
        file = File(b"short", filename="a.txt").validated_for(Paper.text)
        SEEN.clear()
        with monkeypatch.context() as patch, Session(engine) as session:
            patch.setattr(field, name, steps)
            session.add(Paper(text=file))
            session.commit()
            assert ["a.txt"] * sum(isinstance(each, Counting) for each in field.validators) == SEEN
    assert contents(storage) == [b"short", b"short", b"short!"]


def test_validators_are_awaited_with_an_async_session(storage: MemoryStorage) -> None:
    async def story() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        with pytest.raises(ValidationError, match="a virus"):
            await File(b"virus", filename="v").avalidated_for(Paper.scanned)
        async with AsyncSession(engine) as session:
            session.add_all(
                [Paper(scanned=b"virus"), Paper(scanned=b"virus"), Paper(pages=[b"ok"])]
            )
            with pytest.raises(ValidationErrors) as refused:
                await validate(session)
            assert [each.code for each in refused.value.exceptions] == ["virus", "virus"]
        assert keys(storage) == []
        SEEN.clear()
        scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        scoped.add(Paper(scanned=File(b"clean", filename="c")))
        await validate(scoped)
        await scoped.commit()
        await scoped.remove()
        await engine.dispose()

    asyncio.run(story())
    assert SEEN == ["c"]
    assert contents(storage) == [b"clean"]


def test_a_plain_session_refuses_asynchronous_validators(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Paper(scanned=b"x"))
        with pytest.raises(TypeError, match=r"Waiting\.process is asynchronous"):
            validate(session)


def test_a_scoped_session_is_one_too(engine: Engine) -> None:
    scoped = scoped_session(sessionmaker(engine))
    scoped.add(Paper(text=b"x" * 11))
    with pytest.raises(SizeValidationError):
        validate(scoped)
    scoped.remove()
