"""What forms and HTTP clients hand over: nothing chosen, records sent back, responses."""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from aiohttp.web_request import FileField as AiohttpUpload
from multidict import CIMultiDict, CIMultiDictProxy
from sqlalchemy import insert, inspect, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from werkzeug.datastructures import FileStorage

from sqlalchemy_file import File
from sqlalchemy_file.content.received import is_unchosen
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.models import Base, Paper
from tests.stores import contents, keys


@pytest.fixture
def paper(session: Session) -> Paper:
    paper = Paper(body=File(b"body", filename="a.txt"), pages=[File(b"1"), File(b"2")])
    session.add(paper)
    session.commit()
    return paper


# --- forms in which no file was chosen


def from_cgi(filename: str, content: bytes) -> Any:
    head = f'Content-Disposition: form-data; name="body"; filename="{filename}"'
    body = (
        f"--X\r\n{head}\r\nContent-Type: text/x-mine\r\n\r\n".encode() + content + b"\r\n--X--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=X", "content-length": str(len(body))}
    form = cgi.FieldStorage(io.BytesIO(body), headers=headers, environ={"REQUEST_METHOD": "POST"})
    return form["body"]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import cgi
    except ImportError:  # gone from Python 3.13 on
        cgi = None  # type: ignore[assignment]


def test_an_upload_that_cannot_tell_its_size_is_a_choice() -> None:
    class Pipe(io.RawIOBase):
        def seekable(self) -> bool:
            return False

    assert not is_unchosen(FileStorage(Pipe(), filename="", name="body"))  # type: ignore[arg-type]
    assert is_unchosen(FileStorage(io.BytesIO(), filename="", name="body"))


Sanic = namedtuple("Sanic", ["type", "body", "name"])  # noqa: PYI024  as Sanic's own


def from_aiohttp(filename: str, content: bytes) -> Any:
    headers: Any = CIMultiDictProxy(CIMultiDict())
    return AiohttpUpload("body", filename, io.BytesIO(content), "text/x-mine", headers)  # type: ignore[arg-type]


UPLOADS: dict[str, Callable[[str, bytes], Any]] = {
    "Starlette": lambda name, content: UploadFile(io.BytesIO(content), filename=name),
    "Werkzeug": lambda name, content: FileStorage(
        io.BytesIO(content), filename=name, name="body", content_type="text/x-mine"
    ),
    "aiohttp": from_aiohttp,
    **({"cgi": from_cgi} if cgi else {}),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_form_without_a_choice_of_file_leaves_the_row_alone(
    session: Session, paper: Paper, kind: str
) -> None:
    session.refresh(paper)
    paper.body = UPLOADS[kind]("", b"")
    paper.pages = [UPLOADS[kind]("", b"")]
    assert not session.is_modified(paper)
    session.commit()
    assert paper.body
    assert (paper.body.file.read(), len(paper.pages or ())) == (b"body", 2)


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_form_without_a_choice_of_file_leaves_a_row_alone_that_is_not_loaded(
    session: Session, paper: Paper, storage: MemoryStorage, kind: str
) -> None:
    session.expire(paper)
    paper.body = UPLOADS[kind]("", b"")
    session.commit()
    assert paper.body
    assert paper.body.file.read() == b"body"


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_new_row_without_a_choice_of_file_has_none(session: Session, kind: str) -> None:
    empty = UPLOADS[kind]("", b"")
    paper = Paper(body=empty, pages=[empty])
    session.add(paper)
    session.commit()
    assert (paper.body, paper.pages) in [(None, []), (None, None)]


@pytest.mark.parametrize("kind", UPLOADS)
def test_what_was_not_chosen_is_left_out_of_a_list(
    session: Session, paper: Paper, storage: MemoryStorage, kind: str
) -> None:
    make = UPLOADS[kind]
    paper.pages = [make("", b""), make("b.txt", b"new"), make("", b"")]
    session.commit()
    assert [(file.filename, file.file.read()) for file in paper.pages or ()] == [("b.txt", b"new")]


@pytest.mark.parametrize("kind", UPLOADS)
def test_changes_of_a_list_leave_out_what_was_not_chosen(
    session: Session, paper: Paper, kind: str
) -> None:
    empty = UPLOADS[kind]("", b"")
    pages = paper.pages
    assert pages
    pages.append(empty)
    pages.insert(0, empty)
    pages[0] = empty
    pages[:] = [empty, empty]
    pages[::2] = [empty]
    pages.extend([empty])
    assert not session.is_modified(paper, include_collections=False)
    pages += [empty, UPLOADS[kind]("c.txt", b"3"), empty]
    pages[2:2] = [empty, UPLOADS[kind]("b.txt", b"2b"), empty]
    session.commit()
    assert [page.file.read() for page in paper.pages or ()] == [b"1", b"2", b"2b", b"3"]


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_list_made_by_hand_leaves_out_what_was_not_chosen(
    session: Session, paper: Paper, kind: str
) -> None:
    paper.pages = MutableList([UPLOADS[kind]("", b""), File(b"new")])
    session.commit()
    assert [page.file.read() for page in paper.pages or ()] == [b"new"]


@pytest.mark.parametrize("kind", UPLOADS)
def test_an_upload_keeps_its_name_and_may_be_empty(
    session: Session, paper: Paper, kind: str
) -> None:
    paper.body = UPLOADS[kind]("b.txt", b"")
    assert paper.body
    assert (paper.body.filename, paper.body.size) == ("b.txt", 0)
    paper.body = UPLOADS[kind]("", b"without a name")
    session.commit()
    assert paper.body.filename == "unnamed"
    assert paper.body.file.read() == b"without a name"


@pytest.mark.parametrize("kind", UPLOADS)
def test_statements_make_no_file_of_nothing(
    session: Session, paper: Paper, storage: MemoryStorage, kind: str
) -> None:
    empty = UPLOADS[kind]("", b"")
    session.execute(insert(Paper), [{"id": 7, "body": empty}])
    assert session.get_one(Paper, 7).body is None
    with pytest.raises(UnsupportedStatementError, match="no file was chosen"):
        session.execute(update(Paper).where(Paper.id == paper.id).values(body=empty))
    with pytest.raises(UnsupportedStatementError, match="no file was chosen"):
        session.execute(update(Paper), [{"id": paper.id, "body": empty}])
    with pytest.raises(UnsupportedStatementError, match="no file was chosen"):
        session.connection().execute(update(Paper.__table__).values(body=empty))


def test_an_upload_that_is_a_named_tuple_is_content(session: Session, paper: Paper) -> None:
    paper.body = Sanic("text/x-mine", b"new", "b.txt")
    paper.pages = [Sanic("text/x-mine", b"1", "c.txt")]
    session.commit()
    assert paper.body
    assert paper.pages
    assert (paper.body.filename, paper.body.file.read()) == ("b.txt", b"new")
    assert paper.body.declared_content_type == "text/x-mine"
    assert paper.pages[0].filename == "c.txt"


class Untrue(io.BytesIO):
    def __bool__(self) -> bool:
        raise TypeError("cannot be converted to bool")


def test_content_whose_truth_value_raises_is_content(session: Session, paper: Paper) -> None:
    paper.body = Untrue(b"new")
    paper.pages = [Untrue(b"1")]
    session.commit()
    assert paper.body
    assert paper.body.file.read() == b"new"


# --- records that are handed back


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("expired", [False, True])
def test_a_record_handed_back_is_no_change(
    session: Session, paper: Paper, storage: MemoryStorage, expired: bool
) -> None:
    before, body, pages = keys(storage), through_json(paper.body), through_json(paper.pages)
    if expired:
        session.expire(paper)
    paper.body, paper.pages = body, pages
    assert type(paper.body) is File
    assert not inspect(paper).attrs.body.history.deleted
    session.commit()
    assert keys(storage) == before
    assert paper.body.file.read() == b"body"


def test_elements_handed_back_are_kept_in_their_new_order(
    session: Session, paper: Paper, storage: MemoryStorage
) -> None:
    first, second = through_json(paper.pages)
    paper.pages = [second, File(b"3"), first]
    session.commit()
    assert [file.file.read() for file in paper.pages or ()] == [b"2", b"3", b"1"]
    paper.pages = [through_json(paper.pages)[1]]
    session.commit()
    assert contents(storage) == [b"3", b"body"]
    paper.pages[0] = through_json(paper.pages[0])
    session.commit()
    assert contents(storage) == [b"3", b"body"]


def test_a_record_takes_back_what_was_just_replaced(session: Session, paper: Paper) -> None:
    record = through_json(paper.body)
    paper.body = File(b"new")
    paper.body = record
    session.commit()
    assert paper.body
    assert paper.body.file.read() == b"body"


@pytest.mark.parametrize(
    "change", [{"filename": "b.txt"}, {"path": "main/other"}, {"files": []}], ids=repr
)
def test_any_other_record_is_refused(session: Session, paper: Paper, change: Any) -> None:
    with pytest.raises(TypeError, match=r"Paper\.body: expected a File"):
        paper.body = {**through_json(paper.body), **change}
    with pytest.raises(TypeError, match="expected a File"):
        paper.pages = [*through_json(paper.pages), {**through_json(paper.body), **change}]


def test_the_record_of_another_row_is_refused(session: Session, paper: Paper) -> None:
    other = Paper(body=File(b"other"))
    session.add(other)
    session.commit()
    with pytest.raises(TypeError, match="expected a File"):
        paper.body = through_json(other.body)
    with pytest.raises(TypeError, match="expected a File"):
        Paper(body=through_json(paper.body))


# --- responses


def handler(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/missing":
        return httpx.Response(404, text="an error page")
    return httpx.Response(200, content=b"PK" * 9, headers={"content-type": "text/x-mine; q=1"})


def from_requests(path: str) -> Any:
    answer = handler(httpx.Request("GET", f"http://x{path}"))
    response = requests.Response()
    response.status_code = answer.status_code
    response.raw = io.BytesIO(answer.content)
    response.headers.update(answer.headers)
    return response


def from_httpx(path: str) -> Any:
    return httpx.Client(transport=httpx.MockTransport(handler)).get(f"http://x{path}")


@pytest.mark.parametrize("get", [from_requests, from_httpx])
def test_a_response_is_content(session: Session, paper: Paper, get: Any) -> None:
    paper.body = get("/there")
    session.commit()
    assert paper.body
    assert paper.body.file.read() == b"PK" * 9
    assert paper.body.declared_content_type == "text/x-mine"


@pytest.mark.parametrize("get", [from_requests, from_httpx])
def test_an_error_page_is_no_content(session: Session, paper: Paper, get: Any) -> None:
    with pytest.raises(ValueError, match="answered with 404"):
        paper.body = get("/missing")
    assert not session.is_modified(paper)


def test_the_stream_of_an_asynchronous_response_is_awaited(
    tmp_path: Path, storage: MemoryStorage
) -> None:
    async def story() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client,
            client.stream("GET", "http://x/there") as response,
            AsyncSession(engine) as session,
        ):
            session.add(Paper(body=response))
            await session.commit()
        await engine.dispose()

    asyncio.run(story())
    assert contents(storage) == [b"PK" * 9]
