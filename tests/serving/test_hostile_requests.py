"""Requests, records and names of somebody who means harm, and storages that fail."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import Engine
from starlette.testclient import TestClient
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import FileServer, RequestFacts, XAccelRedirect
from sqlalchemy_file.serving.answering import answer_with
from sqlalchemy_file.serving.delivery import x_sendfile
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.testing import FaultyStorage
from sqlalchemy_file.testing.faults import Fault, fails
from tests.storage.helpers import put

from .models import SECRET, record, saved

CONTENT = b"x" * 100


def get(server: FileServer, url: str, method: str = "GET", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    path = url.removeprefix(server.url)
    return Client(server.wsgi, use_cookies=False).open(path, method=method, headers=given)


@pytest.fixture
def faulty() -> FaultyStorage:
    storage = FaultyStorage(MemoryStorage())
    StorageManager.add_storage("main", storage)
    put(storage, "key", CONTENT, content_type="text/plain")
    return storage


# --- URLs


def test_every_url_that_is_not_ours_gets_the_same_answer(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(saved(engine, CONTENT, "a.txt"))
    token = url.split("/")[2]
    own = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    purpose = "sqlalchemy-file.serving"
    claims = URLSafeSerializer(SECRET, salt=purpose, signer_kwargs=own).loads(token)

    def signed(claims: Any, secret: str = SECRET, salt: str = purpose) -> Any:
        return URLSafeSerializer(secret, salt=salt, signer_kwargs=own).dumps(claims)

    assert get(server, f"/{signed(claims)}/a.txt").data == CONTENT
    forged = {
        "another purpose": signed(claims, salt="sqlalchemy-file.uploads"),
        "another secret": signed(claims, "fedcba9876543210"),
        "another version": signed([claims[0] + 1, *claims[1:]]),
        "the name of another secret": signed([claims[0], "0" * 8, *claims[2:]]),
        "no claims": signed([]),
        "no signature": token.rpartition(".")[0],
        "a signature of nothing": "." + token.rpartition(".")[2],
        "cut off": token[:-3],
        "nothing": "",
        "not ascii": "é\x00\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "another class": URLSafeSerializer(SECRET, salt="itsdangerous").dumps({"a": 1}),
    }
    answers = {
        name: (found.status_code, found.data, sorted(found.headers.items()))
        for name, each in forged.items()
        for found in [get(server, f"/{quote(each)}/a.txt")]
    }
    assert {status for status, *_ in answers.values()} == {403}
    assert len({str(each) for each in answers.values()}) == 1
    assert get(FileServer(), f"/{token}/a.txt").data == answers["cut off"][1]


def test_a_url_that_needs_authorization_is_not_valid_at_a_server_that_asks_nobody(
    engine: Engine,
) -> None:
    file = saved(engine, CONTENT, "a.txt")
    asking = FileServer(secret=SECRET, authorize=lambda request, target: True)
    bearer = FileServer(secret=SECRET)
    assert get(asking, asking.url_for(file)).status_code == 200
    assert get(bearer, asking.url_for(file)).status_code == 403
    assert get(asking, bearer.url_for(file)).status_code == 200


def test_the_server_that_answers_decides_which_types_browsers_show(engine: Engine) -> None:
    generous = FileServer(secret=SECRET, inline=["text/plain"])
    url = generous.url_for(saved(engine, CONTENT, "a.txt"))
    assert get(generous, url).headers["Content-Disposition"].startswith("inline")
    strict = get(FileServer(secret=SECRET), url)
    assert strict.status_code == 200
    assert strict.headers["Content-Disposition"].startswith("attachment")


def test_head_gets_no_body_of_a_problem() -> None:
    server = FileServer(secret=SECRET)
    assert len(get(server, "/forged", "HEAD").data) == 0
    start, body = answered(
        server, {"type": "http", "method": "HEAD", "path": "/forged", "headers": []}
    )
    assert (start["status"], body["body"]) == (403, b"")
    length = dict(start["headers"])[b"content-length"]
    assert int(length) == len(get(server, "/forged").data) > 0


def test_a_name_in_the_url_changes_nothing(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(saved(engine, CONTENT, "a.txt")).rpartition("/")[0]
    for name in ("a.html", "%2e%2e/%2e%2e/etc/passwd", "a.txt%0d%0aX-Evil:1", "", "x" * 3000):
        found = get(server, f"{url}/{name}")
        assert (found.status_code, found.data) == (200, CONTENT)
        assert found.headers["Content-Disposition"] == 'attachment; filename="a.txt"'


@pytest.mark.parametrize(
    "key",
    ["../x", "a/../../x", "./x", "/etc/passwd", "a//b", "a\\b", "a\x00b", "", "x" * 2000,
     ".sqlalchemy-file/owner", "a/.sqlalchemy-file-1"],
)  # fmt: skip
def test_a_public_url_cannot_leave_its_storage(engine: Engine, key: str) -> None:
    server = FileServer(public=["main"])
    for kind in ("public", "attachment"):
        assert get(server, f"/{kind}/main/{quote(key)}").status_code == 404


def test_notes_of_a_public_storage_are_no_files(engine: Engine) -> None:
    storage: Any = StorageManager.storage("main")
    storage.add_note("ledger", b"secret") if hasattr(storage, "add_note") else put(
        storage, ".sqlalchemy-file/ledger", b"secret"
    )
    found = get(FileServer(public=["main"]), "/public/main/.sqlalchemy-file/ledger")
    assert found.status_code == 404


@pytest.mark.parametrize("key", ["a%20b", "a%2Fb", "a+b c", "100%/ü#?&.txt", "%252e"])
def test_a_public_url_is_decoded_once(key: str) -> None:
    storage = MemoryStorage()
    StorageManager.add_storage("main", storage)
    put(storage, key, CONTENT)
    server = FileServer(public=["main"])
    file = record(path=f"main/{key}", file_id=key)
    assert get(server, server.url_for(file)).data == CONTENT


def test_what_a_shared_cache_may_keep_is_the_file_alone(engine: Engine) -> None:
    server = FileServer(public=["main"])
    url = server.url_for(saved(engine, CONTENT, "a.txt"))
    assert "immutable" in get(server, url).headers["Cache-Control"]
    for found, status in [
        (get(server, url, range="bytes=500-"), 416),
        (get(server, url, if_match='"other"'), 412),
        (get(server, url, "POST"), 405),
        (get(server, "/public/main/nothing"), 404),
    ]:
        assert found.status_code == status
        assert found.headers["Cache-Control"] == "no-store"


def test_a_refusal_by_site_is_no_answer_for_others(engine: Engine) -> None:
    server = FileServer(secret=SECRET, cross_site=False)
    url = server.url_for(saved(engine, CONTENT, "a.txt"))
    assert get(server, url, sec_fetch_site="cross-site").status_code == 403
    found = get(server, url, sec_fetch_site="same-origin")
    assert found.status_code == 200
    assert "Sec-Fetch-Site" in found.headers["Vary"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS"])
def test_a_method_without_a_file_asks_nobody(faulty: FaultyStorage, method: str) -> None:
    asked: list[Any] = []
    server = FileServer(
        secret=SECRET, public=["main"], authorize=lambda *args: asked.append(args) is not None
    )
    named = FileServer(secret=SECRET).url_for(record(size=None), filename="a.txt")
    faulty.calls.clear()
    for url in (named, "/files/public/main/key", "/files/public/main/none", "/files/x/a.txt"):
        found = get(server, url, method)
        assert found.status_code == (204 if method == "OPTIONS" else 405)
        assert found.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert asked == faulty.calls == []


# --- names and types of records that other programs have written

NAMES = ["a\r\nX-Evil: 1", 'a"; filename="b.html', "a\u202egpj.exe", "x" * 300, "\ud800",
         "..", "../../etc/passwd", "", "\x00", "a\\b/c", "100%41.txt", "\u2028",
         "日本" * 100 + ".txt", "a;b,c.txt"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_makes_a_header_that_nobody_misreads(engine: Engine, name: str) -> None:
    server = FileServer(secret=SECRET)
    file = saved(engine, CONTENT, "a.txt")
    odd = File.decode({**file, "filename": name})
    for url in (server.url_for(odd), server.url_for(file, filename=name)):
        assert url.isascii()
        assert not {"..", ".", ""} & set(url.split("/")[3:])
        found = get(server, url)
        assert found.status_code == 200
        assert "X-Evil" not in found.headers
        header = found.headers["Content-Disposition"]
        assert header.isascii()
        assert header.isprintable()
        assert header.count('"') == 2
        assert len(header) < 2500
        assert "html" not in header.partition('"; ')[2].partition("filename*")[0]


@pytest.mark.parametrize(
    "kind", ["text/plain\r\nX-Evil: 1", "text/plain\x00", "nonsense", "text/plain; charset=\u00fc",
             "", None, 5, ["image/png"], "text/html ;x", "TEXT/HTML", "image/png, text/html"]
)  # fmt: skip
def test_any_type_of_a_record_is_sent_as_one_that_runs_nothing(engine: Engine, kind: Any) -> None:
    server = FileServer(secret=SECRET)
    file = File.decode({**saved(engine, CONTENT, "a.txt"), "content_type": kind})
    found = get(server, server.url_for(file))
    assert found.headers["Content-Type"] == "application/octet-stream"
    assert "X-Evil" not in found.headers
    assert found.headers["Content-Disposition"].startswith("attachment")
    part = get(server, server.url_for(file), range="bytes=0-1,5-6")
    assert b"X-Evil" not in part.data


@pytest.mark.parametrize(
    "changes",
    [{"size": -5}, {"size": 10**30}, {"size": "100"}, {"size": None}, {"size": True},
     {"checksum": "sha256:zz"}, {"checksum": 5}, {"uploaded_at": "yesterday"},
     {"uploaded_at": "9999-12-31T23:59:59+00:00"}, {"uploaded_at": "0001-01-01T00:00:00"},
     {"variants": "none"}, {"disposition": ["inline"]}, {"headers": "none"}],
)  # fmt: skip
def test_a_record_that_somebody_else_wrote_is_served_or_refused_but_breaks_nothing(
    engine: Engine, changes: dict[str, Any]
) -> None:
    server = FileServer(secret=SECRET)
    file = File.decode({**saved(engine, CONTENT, "a.txt"), **changes})
    found = get(server, server.url_for(file))
    assert found.status_code in (200, 503)
    if found.status_code == 200:
        assert found.data == CONTENT


# --- the application's own rules


@pytest.mark.parametrize("answer", [None, False, 0, ""])
def test_what_authorize_does_not_allow_is_refused(engine: Engine, answer: Any) -> None:
    server = FileServer(secret=SECRET, authorize=lambda request, target: answer)
    assert get(server, server.url_for(saved(engine, CONTENT, "a.txt"))).status_code == 403


@pytest.mark.parametrize("answer", ["no", object(), 1, [False]])
def test_an_answer_that_is_no_bool_allows_nothing(engine: Engine, answer: Any) -> None:
    server = FileServer(secret=SECRET, authorize=lambda request, target: answer)
    url = server.url_for(saved(engine, CONTENT, "a.txt"))
    with pytest.raises(TypeError, match="authorize returns True or False"):
        get(server, url)


def test_an_authorize_that_raises_sends_nothing(faulty: FaultyStorage) -> None:
    def authorize(request: Any, target: Any) -> bool:
        raise LookupError("no such user")

    async def aauthorize(request: Any, target: Any) -> bool:
        return authorize(request, target)

    for each in (authorize, aauthorize):
        server = FileServer(secret=SECRET, authorize=each)
        url = server.url_for(record()).removeprefix(server.url)
        faulty.calls.clear()
        with pytest.raises(LookupError):
            TestClient(server.asgi).get(url)
        assert faulty.count("stat", "stream") == 0


def test_a_function_that_returns_an_awaitable_is_asked_by_asgi(engine: Engine) -> None:
    async def decided(is_allowed: bool) -> bool:
        return is_allowed

    file = saved(engine, CONTENT, "a.txt")
    for is_allowed, status in ((True, 200), (False, 403)):
        server = FileServer(
            secret=SECRET, authorize=lambda request, target, known=is_allowed: decided(known)
        )
        path = server.url_for(file).removeprefix(server.url)
        assert TestClient(server.asgi).get(path).status_code == status


def test_a_coroutine_function_cannot_be_asked_by_wsgi(engine: Engine) -> None:
    async def authorize(request: Any, target: Any) -> bool:
        return True

    server = FileServer(secret=SECRET, authorize=authorize)
    with pytest.raises(TypeError, match=r"serve with FileServer\.asgi"):
        get(server, server.url_for(saved(engine, CONTENT, "a.txt")))


# --- storages that fail

SLOW = StorageError("no answer")
SLOW.__cause__ = TimeoutError("60 seconds")


def clients(server: FileServer) -> Iterator[Any]:
    yield Client(server.wsgi, use_cookies=False)
    yield TestClient(server.asgi)


@pytest.mark.parametrize(
    ("fault", "status"), [(fails(), 503), (fails(SLOW), 504)], ids=["down", "slow"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_storage_that_fails_is_told_before_the_headers(
    faulty: FaultyStorage, fault: Fault, status: int, method: str
) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(record()).removeprefix(server.url)
    for verb in ("stat", "stream"):
        faulty.inject(verb, fault)  # type: ignore[arg-type]
    for client in clients(server):
        found = (
            client.open(url, method=method)
            if isinstance(client, Client)
            else client.request(method, url)
        )
        assert found.status_code == status
        assert found.headers["Content-Type"] == "application/problem+json"
        assert found.headers["Cache-Control"] == "no-store"
        assert "main" not in found.text
        assert (found.headers.get("Retry-After") == "5") is (status == 503)


def test_a_file_that_cannot_be_served_is_logged(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(record()).removeprefix(server.url)
    missing = server.url_for(record(path="main/none", file_id="none")).removeprefix(server.url)
    for client in clients(server):
        caplog.clear()
        faulty.mend()
        assert client.get(missing).status_code == 404
        faulty.inject("stream", fails(StorageError("no answer", key="key")))
        assert client.get(url).status_code == 503
        (logged,) = [each for each in caplog.records if each.name == "sqlalchemy_file"]
        assert logged.levelname == "WARNING"
        fields = [vars(logged)[name] for name in ("event", "operation", "storage", "key", "error")]
        assert fields == ["failure", "serve", "main", "key", "StorageError"]
        assert "no answer" in logged.getMessage()


def test_a_storage_that_fails_in_the_middle_cuts_the_connection(faulty: FaultyStorage) -> None:
    put(faulty, "large", b"y" * 3_000_000)
    server = FileServer(secret=SECRET)
    file = record(path="main/large", file_id="large", size=3_000_000)
    url = server.url_for(file).removeprefix(server.url)
    faulty.inject("stream", Fault(share=0.5))
    for client in clients(server):
        with pytest.raises(StorageError, match="fewer than announced"):
            _ = client.get(url).data if isinstance(client, Client) else client.get(url)


def test_an_object_that_goes_before_its_body_is_read_is_not_found(faulty: FaultyStorage) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(record(size=None)).removeprefix(server.url)
    for client in clients(server):
        put(faulty, "key", CONTENT)
        faulty.mend()
        faulty.inject("stream", Fault(before=lambda: faulty.inner.delete(["key"])))
        found = client.get(url)
        assert found.status_code == 404
        assert found.headers["Content-Type"] == "application/problem+json"


def test_an_object_of_another_size_is_no_short_answer(faulty: FaultyStorage) -> None:
    server = FileServer(secret=SECRET)
    url = server.url_for(record(size=200)).removeprefix(server.url)
    with pytest.raises(StorageError, match="100 bytes fewer than announced"):
        _ = Client(server.wsgi).get(url).data
    shorter = server.url_for(record(size=50)).removeprefix(server.url)
    assert Client(server.wsgi).get(shorter).status_code == 503


def test_the_digest_of_a_record_is_that_of_an_object_of_its_size(faulty: FaultyStorage) -> None:
    server = FileServer(secret=SECRET)
    for size in (100, 99):
        url = server.url_for(record(size=size, checksum=f"sha256:{'0' * 64}"))
        found = get(server, url, "HEAD").headers
        assert ("Repr-Digest" in found) == ("ETag" in found) == (size == 100)


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [("/files/x", "/files", "/x"), ("/x", "/files", "/x"), ("/files", "/files", "/files"),
     ("/filesystem/x", "/files", "/filesystem/x"), ("/files/files/x", "/files", "/files/x"),
     ("/x", None, "/x")],
)  # fmt: skip
def test_a_path_is_that_below_the_mount(path: str, root: str | None, below: str) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
    assert RequestFacts.of_scope(scope).path == below


@pytest.mark.parametrize("storage_url", ["local"], indirect=True)
@pytest.mark.parametrize("size", [99, 101])
def test_a_local_file_of_another_size_than_its_record_s_is_refused_before_the_headers(
    engine: Engine, size: int
) -> None:
    server = FileServer(secret=SECRET)
    put(StorageManager.storage("main"), "key", CONTENT)
    url = server.url_for(record(size=size)).removeprefix(server.url)
    for headers in ({}, {"Range": "bytes=0-9"}):
        for client in clients(server):
            found = client.get(url, headers=headers)
            assert found.status_code == 503
            assert found.headers["Content-Type"] == "application/problem+json"
    scope = {"type": "http", "method": "GET", "path": url, "headers": []}
    sent = answered(server, {**scope, "extensions": {"http.response.pathsend": {}}})
    assert sent[0]["status"] == 503
    delivered = FileServer(secret=SECRET, delivery="x-sendfile")
    assert get(delivered, url).status_code == 503


def test_a_range_of_a_public_object_is_of_the_version_that_the_client_knows(
    engine: Engine,
) -> None:
    server = FileServer(public=["main"])
    storage = StorageManager.storage("main")
    put(storage, "key", CONTENT)
    first = get(server, "/public/main/key").headers["ETag"]
    part = get(server, "/public/main/key", range="bytes=50-", if_range=first)
    assert (part.status_code, part.headers["ETag"]) == (206, first)
    put(storage, "key", b"y" * 100)
    whole = get(server, "/public/main/key", range="bytes=50-", if_range=first)
    assert (whole.status_code, whole.data) == (200, b"y" * 100)
    assert get(server, "/public/main/key", if_none_match=first).status_code == 200
    assert get(server, "/public/main/key", "HEAD").headers["ETag"] == whole.headers["ETag"] != first


def test_lines_of_one_header_are_one_list() -> None:
    lines = [(b"if-none-match", b'"a"'), (b"range", b"bytes=0-1"), (b"if-none-match", b'"b"')]
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": lines}
    assert RequestFacts.of_scope(scope).headers == {
        "if-none-match": '"a", "b"',
        "range": "bytes=0-1",
    }


def answered(server: FileServer, scope: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(server.asgi(scope, send, send))
    return sent


@pytest.mark.parametrize("storage_url", ["local"], indirect=True)
def test_no_link_leads_a_server_that_sends_paths_out_of_the_folder(
    engine: Engine, tmp_path: Path
) -> None:
    server = FileServer(secret=SECRET)
    file = saved(engine, CONTENT, "a.txt")
    path = server.url_for(file).removeprefix(server.url)
    extensions = {"http.response.pathsend": {}}
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "extensions": extensions}

    def answer() -> list[Any]:
        sent = answered(server, scope)
        return [sent[0]["status"], sent[1]["type"]]

    assert answer() == [200, "http.response.pathsend"]
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * len(CONTENT))
    place = tmp_path / "files" / file.file_id
    place.unlink()
    place.symlink_to(secret)
    assert answer() == [503, "http.response.body"]


@pytest.mark.parametrize("storage_url", ["local"], indirect=True)
def test_no_link_leads_a_server_in_front_out_of_the_folder(engine: Engine, tmp_path: Path) -> None:
    server = FileServer(secret=SECRET, delivery="x-sendfile")
    file = saved(engine, CONTENT, "a.txt")
    place = tmp_path / "files" / file.file_id
    assert get(server, server.url_for(file)).headers["X-Sendfile"] == str(place)
    place.rename(tmp_path / "moved")
    assert get(server, server.url_for(file)).status_code == 404
    place.symlink_to(tmp_path / "moved")
    found = get(server, server.url_for(file))
    assert found.status_code == 503
    assert "X-Sendfile" not in found.headers


@pytest.mark.parametrize("key", ["../other/x", "a/../../x", "/etc/passwd", "a\x00b", "a\\b",
                                 ".sqlalchemy-file/ledger"])  # fmt: skip
def test_no_key_leads_a_server_in_front_out_of_its_location(engine: Engine, key: str) -> None:
    server = FileServer(secret=SECRET, delivery=XAccelRedirect("/internal/{storage}"))
    found = get(server, server.url_for(record(path=f"main/{key}")))
    assert found.status_code == 404
    assert "X-Accel-Redirect" not in found.headers


def test_a_storage_that_was_taken_away_is_not_found(engine: Engine) -> None:
    server = FileServer(secret=SECRET, public=["main", "gone"])
    url = server.url_for(saved(engine, CONTENT, "a.txt"), filename="b.txt")
    assert get(server, "/public/gone/key").status_code == 404
    StorageManager.clear()
    assert get(server, url).status_code == 404


def test_a_path_for_a_server_in_front_may_have_any_letters(tmp_path: Any) -> None:
    folder = tmp_path / "grüße 日本"
    folder.mkdir()
    StorageManager.add_storage("main", folder)
    put(StorageManager.storage("main"), "key", CONTENT)
    server = FileServer(secret=SECRET, delivery=x_sendfile)
    url = server.url_for(record()).removeprefix(server.url)
    found = Client(server.wsgi).get(url)
    assert found.status_code == 200
    assert found.headers["X-Sendfile"].encode("latin-1").decode().startswith(str(folder))


# --- url_for


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(seconds=-1), timedelta.max])
def test_an_expiry_that_cannot_be_is_refused(engine: Engine, expires: timedelta) -> None:
    file = saved(engine, CONTENT, "a.txt")
    with pytest.raises(ValueError, match="expires"):
        FileServer(secret=SECRET).url_for(file, expires=expires)
    with pytest.raises(TypeError, match="expires is a timedelta, not 60"):
        FileServer(secret=SECRET).url_for(file, expires=60)  # type: ignore[arg-type]


def test_a_disposition_that_does_not_exist_is_refused(engine: Engine) -> None:
    file = saved(engine, CONTENT, "a.txt")
    with pytest.raises(ValueError, match='"inline" or "attachment", not \'download\''):
        FileServer(secret=SECRET).url_for(file, disposition="download")  # type: ignore[arg-type]


def test_one_type_in_the_place_of_several_is_refused(engine: Engine) -> None:
    with pytest.raises(TypeError, match="inline is a collection of content types, not 'image/png'"):
        FileServer(secret=SECRET, inline="image/png")
    file = saved(engine, CONTENT, "a.txt")
    with pytest.raises(TypeError, match="inline is a collection"):
        answer_with(RequestFacts("GET", "/", {}, {}), file, inline="text/plain")


@pytest.mark.parametrize(
    "url",
    ["files", "files.example.org/files", "ftp://example.org", "//example.org", "/files?x", "/f#x",
     "/f\r\nX-Evil: 1", "/f g", "/f\u00fc", "https://me:pass@example.org", "https://"],
)  # fmt: skip
def test_a_server_at_no_path_and_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url is a path like '/files', or a whole URL") as refused:
        FileServer(secret=SECRET, url=url)
    assert "me:pass" not in str(refused.value)
    assert FileServer(secret=SECRET, url="/").path == ""


def test_the_path_to_mount_at_is_decoded() -> None:
    assert FileServer(secret=SECRET, url="https://example.org/f%C3%BCr/").path == "/f\u00fcr"


def test_an_error_about_a_storage_says_how_to_add_it(engine: Engine) -> None:
    file = saved(engine, CONTENT, "a.txt")
    StorageManager.clear()
    with pytest.raises(RuntimeError, match=r"main.*StorageManager\.add_storage"):
        FileServer(secret=SECRET).url_for(file)


def test_a_file_that_was_stored_compressed_says_so(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    plain = saved(engine, CONTENT, "a.txt")
    packed = File.decode({**plain, "headers": {"content-encoding": "gzip"}})
    url = server.url_for(packed)
    assert get(server, url).headers["Content-Encoding"] == "gzip"
    for found in (get(server, url, if_none_match="*"), get(server, url, range="bytes=500-")):
        assert "Content-Encoding" not in found.headers
    for odd in ("gzip\r\nX-Evil: 1", "identity", "", 5):
        file = File.decode({**plain, "headers": {"Content-Encoding": odd}})
        found = get(server, server.url_for(file))
        assert "Content-Encoding" not in found.headers
        assert "X-Evil" not in found.headers
