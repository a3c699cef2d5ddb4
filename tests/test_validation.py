"""What validators and a field's functions get and may be, and how refusals are told."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import (
    ContentTypeValidationError,
    ObjectExistsError,
    SizeValidationError,
    ValidationError,
    ValidationErrors,
)
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import (
    ContentTypeValidator,
    ImageValidator,
    SizeValidator,
    Validator,
)
from tests.stores import contents, keys

SEEN: list[Any] = []


class OwnerRequired(Validator):
    """Takes the row as one more parameter."""

    def process(self, file: File, attr_key: str, row: Any) -> None:  # type: ignore[override]
        SEEN.append(row)
        if row.owner == "nobody":
            raise ValidationError(attr_key, "no owner", code="owner", params={"owner": row.owner})


class Scanner(Validator):
    """Waits for another program to judge, as a scanner for viruses does."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def process(self, file: File, attr_key: str) -> None:  # type: ignore[override]
        asyncio.get_running_loop()
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        if file.original_content.read() == b"virus":
            raise ValidationError(attr_key, "a virus")
        file.scanned = True


class Copier:
    async def process(self, file: File, upload_storage: str | None = None) -> None:
        await asyncio.sleep(0)
        stored = await file.astore_content(b"derived", upload_storage, name=f"d-{file.filename}")
        file.derived = stored.name


SCANNER = Scanner()


async def tenant(file: File, row: Any) -> str:
    await asyncio.sleep(0)
    return f"{row.owner}/"


async def storage_of(file: File) -> str:
    await asyncio.sleep(0)
    return "main"


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "validated_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    body: Mapped[File | None] = mapped_column(FileField(validators=[SizeValidator(10)]))
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(
            multiple=True, validators=[SizeValidator(10), ContentTypeValidator(["text/plain"])]
        )
    )
    owned: Mapped[File | None] = mapped_column(
        FileField(
            validators=[OwnerRequired()],
            key=lambda file, row: f"{row.owner}/",
            upload_storage=lambda file, row=None: SEEN.append(row) or "main",
        )
    )
    scanned: Mapped[File | None] = mapped_column(
        FileField(validators=[SizeValidator(10), SCANNER], processors=[Copier()])
    )
    chosen: Mapped[File | None] = mapped_column(FileField(key=tenant, upload_storage=storage_of))
    fixed: Mapped[File | None] = mapped_column(FileField(key=lambda file, prefix="k": prefix))


class Emptying(Validator):
    """Replaces what came."""

    def process(self, file: File, attr_key: str) -> None:
        file.original_content = b"%PDF-1.7 of another validator"


class Lenient(ContentTypeValidator):
    def process(self, file: File, attr_key: str) -> None:
        pass


PDFS = ContentTypeValidator(["application/pdf", "application/gzip"])


class Typed(Base):
    __tablename__ = "typed_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    pdf: Mapped[File | None] = mapped_column(FileField(validators=[PDFS]))
    replaced: Mapped[File | None] = mapped_column(FileField(validators=[Emptying(), PDFS]))
    lenient: Mapped[File | None] = mapped_column(FileField(validators=[Lenient("pdf")]))
    photo: Mapped[File | None] = mapped_column(FileField(validators=[ImageValidator()]))


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()
    SCANNER.most = 0


def refusal(session: Session, *papers: Paper | Typed) -> ValidationError:
    session.add_all(papers)
    with pytest.raises(ValidationError) as caught:
        session.commit()
    session.rollback()
    return caught.value


def run_async(
    tmp_path: Path, story: Callable[[AsyncSession], Awaitable[None]], **options: Any
) -> None:
    async def play() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine, **options) as session:
            await story(session)
        await engine.dispose()

    asyncio.run(play())


# --- refusals


def test_a_single_refusal_is_raised_as_it_is(session: Session) -> None:
    file = File(b"x" * 11, filename="a.txt")
    paper = Paper(body=file)
    error = refusal(session, paper)
    assert type(error) is SizeValidationError
    assert (error.key, error.code, error.index) == ("body", "too_large", None)
    assert error.params == {"size": 11, "max_size": 10}
    assert (error.file, error.instance) == (file, paper)


def test_all_refusals_of_a_flush_are_raised_at_once(
    session: Session, storage: MemoryStorage
) -> None:
    fine, long = File(b"fine", filename="a.txt"), File(b"x" * 12, filename="a.txt")
    first = Paper(id=1, body=File(b"x" * 11), pages=[fine, long, b"\x89PNG\r\n\x1a\n"])
    error = refusal(session, first, Paper(id=2, body=b"x" * 13), Paper(id=3, body=b"fine"))
    assert isinstance(error, ValidationErrors)
    assert isinstance(error, ExceptionGroup)
    told = [(each.key, each.index, each.instance.id, each.code) for each in error.exceptions]
    assert told == [
        ("body", None, 1, "too_large"),
        ("pages", 1, 1, "too_large"),
        ("pages", 2, 1, "content_type"),
        ("body", None, 2, "too_large"),
    ]
    assert (error.key, error.code) == ("body", "too_large")
    assert str(error).startswith("4 files were refused; body: The file is too large (11 bytes)")
    assert error.subgroup(ContentTypeValidationError)
    assert keys(storage) == []


def test_refusals_of_a_statement_are_raised_at_once(session: Session) -> None:
    pages = [File(b"x", filename="a.txt"), b"y" * 11]
    rows = [{"id": 1, "body": b"x" * 11, "pages": []}, {"id": 2, "body": None, "pages": pages}]
    with pytest.raises(ValidationErrors) as caught:
        session.execute(insert(Paper).values(rows))
    assert [(each.key, each.index) for each in caught.value.exceptions] == [
        *(("body", None), ("pages", 1))
    ]
    assert caught.value.instance is None


def test_refusals_can_be_pickled_without_the_row(session: Session) -> None:
    error = refusal(session, Paper(body=b"x" * 11), Paper(body=b"x" * 12))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert [(each.code, each.instance) for each in again.exceptions] == [("too_large", None)] * 2


# --- the row


def test_functions_and_validators_may_take_the_row(session: Session) -> None:
    paper = Paper(owner="ann", owned=b"x")
    session.add(paper)
    session.commit()
    assert paper.owned
    assert paper.owned["path"].startswith("main/ann/")
    assert [paper, paper] == SEEN
    error = refusal(session, Paper(owner="nobody", owned=b"x"))
    assert (error.code, error.params) == ("owner", {"owner": "nobody"})


def test_a_parameter_with_a_default_is_not_the_row(session: Session) -> None:
    session.add(paper := Paper(fixed=b"x"))
    session.commit()
    assert paper.fixed
    assert paper.fixed["path"] == "main/k"


def test_the_row_of_a_statement_has_what_the_statement_gives(
    session: Session, storage: MemoryStorage
) -> None:
    session.execute(insert(Paper), [{"id": 1, "owner": "ann", "owned": b"1"}])
    session.execute(insert(Paper).values(id=2, owner="ben", owned=b"2"))
    session.execute(insert(Paper).values([{"id": 3, "owner": "cat", "owned": b"3"}]))
    session.connection().execute(insert(Paper.__table__).values(id=4, owner="dan", owned=b"4"))
    assert [key.split("/")[0] for key in keys(storage)] == ["ann", "ben", "cat", "dan"]
    with pytest.raises(AttributeError, match="the statement gives no owner"):
        session.execute(update(Paper).where(Paper.id == 1).values(owned=b"5"))


# --- asynchronous validators, processors and functions


def test_asynchronous_validators_and_processors_are_awaited(
    tmp_path: Path, storage: MemoryStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        papers = [Paper(scanned=File(b"%d" % n, filename=f"{n}")) for n in range(6)]
        session.add_all(papers)
        await session.commit()
        assert all(paper.scanned and paper.scanned["scanned"] for paper in papers)
        session.add(Paper(scanned=b"virus"))
        with pytest.raises(ValidationError, match="a virus") as caught:
            await session.commit()
        assert caught.value.instance is not None
        await session.rollback()
        session.add(Paper(scanned=b"x" * 11))
        with pytest.raises(SizeValidationError):
            await session.commit()

    run_async(tmp_path, story, expire_on_commit=False)
    assert SCANNER.most > 2
    assert [key for key in keys(storage) if key.startswith("d-")] == [f"d-{n}" for n in range(6)]


def test_asynchronous_keys_and_storages_are_awaited(tmp_path: Path, storage: MemoryStorage) -> None:
    async def story(session: AsyncSession) -> None:
        session.add_all([Paper(owner=owner, chosen=b"x") for owner in ("ann", "ben")])
        await session.commit()

    run_async(tmp_path, story)
    assert [key.split("/")[0] for key in keys(storage)] == ["ann", "ben"]


@pytest.mark.parametrize("column", ["scanned", "chosen"])
def test_a_plain_session_refuses_what_has_to_be_awaited(
    session: Session, storage: MemoryStorage, column: str
) -> None:
    session.add(Paper(owner="ann", **{column: b"x"}))
    with pytest.raises(TypeError, match="under AsyncSession only"):
        session.commit()
    assert keys(storage) == []


def test_a_processor_that_has_to_be_awaited_is_refused_by_a_plain_session(
    session: Session, storage: MemoryStorage
) -> None:
    file = File(b"x")
    file.save_to_storage("main")
    with pytest.raises(TypeError, match=r"Copier\.process is asynchronous"):
        file.apply_processors([Copier()], "main")


# --- streams that are too long


class Endless:
    """A stream that would never end; notes how much of it was read."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += 1000
        return b"x" * 1000

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            yield self.read()


def test_a_stream_is_not_read_beyond_the_largest_size(
    session: Session, storage: MemoryStorage
) -> None:
    stream = Endless()
    error = refusal(session, Paper(body=File(stream)), Paper(body=File(b"x" * 11)))
    assert stream.given <= 2000
    assert isinstance(error, ValidationErrors)
    assert "too large (more than 10 bytes)" in str(error)
    assert keys(storage) == []


def test_an_asynchronous_stream_is_not_read_beyond_the_largest_size(
    tmp_path: Path, storage: MemoryStorage
) -> None:
    stream = Endless()

    async def story(session: AsyncSession) -> None:
        session.add(Paper(body=File(stream.chunks())))
        with pytest.raises(SizeValidationError, match="more than 10 bytes"):
            await session.commit()

    run_async(tmp_path, story)
    assert stream.given <= 2000


class Sent:
    """A stream of a megabyte, without an end that can be sought; notes how much was read."""

    def __init__(self, head: bytes) -> None:
        self.given = 0
        self._rest = head.ljust(1_000_000, b"\0")

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest[:1000], self._rest[1000:]
        self.given += len(piece)
        return piece

    async def chunks(self) -> AsyncIterator[bytes]:
        while piece := self.read():
            yield piece


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde"
ELF = b"\x7fELF\x02\x01\x01".ljust(64, b"\0")


@pytest.mark.parametrize("head", [PNG, ELF, b"RIFF\0\0\0\0WAVEfmt "], ids=["png", "elf", "wav"])
def test_a_stream_whose_first_bytes_prove_a_refused_type_is_not_read_on(
    session: Session, storage: MemoryStorage, head: bytes
) -> None:
    stream = Sent(head)
    late = refusal(session, Typed(pdf=File(head.ljust(10_000, b"\0"))))
    early = refusal(session, Typed(pdf=File(stream, filename="a.pdf", content_type="image/x-y")))
    assert stream.given <= 6000
    assert str(early) == str(late)
    assert keys(storage) == []


def test_a_stream_that_proves_to_be_no_picture_is_not_read_on(session: Session) -> None:
    stream = Sent(ELF)
    error = refusal(session, Typed(photo=File(stream)))
    assert isinstance(error, ContentTypeValidationError)
    assert stream.given <= 6000


def test_an_asynchronous_stream_of_a_refused_type_is_not_read_on(
    tmp_path: Path, storage: MemoryStorage
) -> None:
    stream = Sent(PNG)

    async def story(session: AsyncSession) -> None:
        session.add(Typed(pdf=File(stream.chunks())))
        with pytest.raises(ContentTypeValidationError, match="image/png is not allowed"):
            await session.commit()

    run_async(tmp_path, story)
    assert stream.given <= 6000


@pytest.mark.parametrize(
    "head", [b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"ID3\4\0\0\0\0\1\0", b"\0"]
)
def test_a_type_that_is_told_further_in_is_judged_at_the_end(session: Session, head: bytes) -> None:
    stream = Sent(head)
    assert isinstance(refusal(session, Typed(pdf=File(stream))), ContentTypeValidationError)
    assert stream.given == 1_000_000


@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("replaced", {}),  # what another validator puts in its place is judged
        ("lenient", {}),  # a program's own
        ("pdf", {"headers": {"Content-Encoding": "gzip"}, "content_type": "application/pdf"}),
    ],
)
def test_a_stream_is_not_refused_early_that_would_not_be_at_its_end(
    session: Session, storage: MemoryStorage, column: str, options: dict[str, Any]
) -> None:
    session.add(Typed(**{column: File(Sent(PNG), **options)}))
    session.commit()
    assert len(keys(storage)) == 1


def test_a_stream_of_the_right_size_is_stored(session: Session, storage: MemoryStorage) -> None:
    session.add(Paper(body=File(iter([b"12345", b"67890"]))))
    session.commit()
    assert contents(storage) == [b"1234567890"]


# --- a key that is the same again


def test_a_key_that_comes_again_says_why_and_what_to_do(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(paper := Paper(fixed=b"old"))
    session.commit()
    paper.fixed = File(b"new")
    with pytest.raises(ObjectExistsError, match="a prefix that ends with a slash") as caught:
        session.commit()
    assert caught.value.key == "k"
    session.rollback()
    assert contents(storage) == [b"old"]


def test_a_row_of_any_kind_is_given(storage: MemoryStorage) -> None:
    field = FileField(key=lambda file, *, row: f"{row.name}/")
    assert field.place(File(b"x"), SimpleNamespace(name="n")) == ("main", None, "n/")
