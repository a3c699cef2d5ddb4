"""The file server: its URLs, and what requests to them get."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import abort
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving import FileServer, XAccelRedirect
from sqlalchemy_file.serving import server as server_module
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.pictures import encoded, quadrants

from .models import SECRET, Letter, saved

PNG = encoded(quadrants())


def get(server: FileServer, url: str, method: str = "GET", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    path = url.removeprefix(server.url)
    return Client(server.wsgi, use_cookies=False).open(path, method=method, headers=given)


def test_a_url_serves_the_file_with_its_name_and_its_range(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    file = saved(engine, b"hello, world", "grüße.txt")
    url = server.url_for(file)
    assert url.startswith("/files/")
    found = get(server, url)
    assert (found.status_code, found.data) == (200, b"hello, world")
    assert found.headers["Content-Disposition"] == (
        "attachment; filename=\"gru_e.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt"
    )
    part = get(server, url, range="bytes=7-")
    assert (part.status_code, part.data) == (206, b"world")
    same = get(server, url, if_none_match=found.headers["ETag"])
    assert (same.status_code, same.data) == (304, b"")


def test_a_url_stays_the_same_for_a_while_and_expires_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FileServer(secret=SECRET, expires=timedelta(minutes=10))
    file = saved(engine, b"x", "a.txt")
    start = server_module._now().replace(minute=0, second=1)
    monkeypatch.setattr(server_module, "_now", lambda: start)
    url = server.url_for(file)
    for minutes, same in [(4, True), (6, False)]:
        later = start + timedelta(minutes=minutes)
        monkeypatch.setattr(server_module, "_now", lambda later=later: later)
        assert (server.url_for(file) == url) is same
    for minutes, status in [(10, 200), (14, 200), (16, 410)]:
        later = start + timedelta(minutes=minutes)
        monkeypatch.setattr(server_module, "_now", lambda later=later: later)
        assert get(server, url).status_code == status


def test_secrets_are_replaced_one_after_the_other(engine: Engine) -> None:
    file = saved(engine, b"x", "a.txt")
    old = FileServer(secret=SECRET)
    url = old.url_for(file)
    both = FileServer(secret=["fedcba9876543210", SECRET])
    assert get(both, url).status_code == 200
    assert get(FileServer(secret="fedcba9876543210"), both.url_for(file)).status_code == 200
    assert get(FileServer(secret="fedcba9876543210"), url).status_code == 403


@pytest.mark.parametrize("spoil", [lambda t: t[:-1], lambda t: "A" + t, lambda t: t[::-1],
                                   lambda t: "", lambda t: "x" * 100_000])  # fmt: skip
def test_a_forged_url_gets_a_problem_without_a_reason(engine: Engine, spoil: Any) -> None:
    server = FileServer(secret=SECRET)
    token, name = server.url_for(saved(engine, b"x", "a.txt")).removeprefix("/files/").split("/")
    found = get(server, f"/{spoil(token)}/{name}")
    assert found.status_code == HTTPStatus.FORBIDDEN
    assert found.headers["Content-Type"] == "application/problem+json"
    assert found.json["detail"] == "This URL is not valid."


def test_an_object_that_is_gone_is_not_found(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    file = saved(engine, b"x" * 100, "a.txt")
    url = server.url_for(file)
    StorageManager.delete_file(file["path"])
    for method in ("GET", "HEAD"):
        assert get(server, url, method).status_code == HTTPStatus.NOT_FOUND
    for asked in ("bytes=0-9", "bytes=0-1,5-6", "bytes=500-"):
        assert get(server, url, range=asked).status_code == HTTPStatus.NOT_FOUND
    assert get(server, url, if_none_match="*").status_code == HTTPStatus.NOT_FOUND


def test_only_types_that_run_nothing_are_shown_inline(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    picture = get(server, server.url_for(saved(engine, PNG, "a.png")))
    assert picture.headers["Content-Disposition"].startswith("inline")
    assert picture.headers["Content-Type"] == "image/png"
    page = saved(engine, b"<!doctype html><script>alert(1)</script>", "a.html")
    for disposition in (None, "inline", "attachment"):
        found = get(server, server.url_for(page, disposition=disposition))
        assert found.headers["Content-Disposition"].startswith("attachment")
        assert found.headers["Content-Type"] == "application/octet-stream"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in found.headers["Content-Security-Policy"]
    assert found.headers["Referrer-Policy"] == "no-referrer"


def test_a_server_decides_which_types_are_shown(engine: Engine) -> None:
    server = FileServer(secret=SECRET, inline=["text/plain", "text/html"])
    for content, name, shown in [(PNG, "a.png", False), (b"hello", "a.txt", True)]:
        found = get(server, server.url_for(saved(engine, content, name)))
        assert found.headers["Content-Disposition"].startswith("inline") == shown
    page = get(server, server.url_for(saved(engine, b"<!doctype html><p>", "a.html")))
    assert page.headers["Content-Type"] == "application/octet-stream"


def test_other_sites_embed_public_files_only(engine: Engine) -> None:
    file = saved(engine, PNG, "a.png")

    def policy(**options: Any) -> str:
        server = FileServer(secret=SECRET, **options)
        return get(server, server.url_for(file)).headers["Cross-Origin-Resource-Policy"]

    assert policy() == policy(url="/") == "same-origin"
    assert policy(url="https://files.example.org") == "same-site"
    assert policy(url="https://files.example.org", resource_policy="same-origin") == "same-origin"
    assert policy(resource_policy="same-site") == "same-site"
    assert policy(public=["main"]) == "cross-origin"


def test_only_an_inline_pdf_has_no_sandbox(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    pdf = saved(engine, b"%PDF-1.4\n", "a.pdf")
    assert "Content-Security-Policy" not in get(server, server.url_for(pdf)).headers
    kept = get(server, server.url_for(pdf, disposition="attachment"))
    assert "sandbox" in kept.headers["Content-Security-Policy"]


def test_the_url_of_a_server_may_end_with_a_slash(engine: Engine) -> None:
    file = saved(engine, PNG, "a.png")
    for url in ("https://files.example.org/media/", "/media/"):
        server = FileServer(secret=SECRET, url=url)
        assert server.path == "/media"
        assert "media//" not in server.url_for(file)


def test_the_application_is_asked_first(engine: Engine) -> None:
    asked: list[tuple[str, str]] = []

    def authorize(request: Any, target: Any) -> bool:
        asked.append((request.headers.get("cookie", ""), target.key))
        return request.headers.get("cookie") == "user=1"

    server = FileServer(secret=SECRET, authorize=authorize)
    file = saved(engine, b"x", "a.txt")
    url = server.url_for(file)
    assert get(server, url, cookie="user=2").status_code == HTTPStatus.FORBIDDEN
    found = get(server, url, cookie="user=1")
    assert found.status_code == HTTPStatus.OK
    assert found.headers["Cache-Control"] == "private, no-cache"
    assert asked == [("user=2", file["file_id"]), ("user=1", file["file_id"])]
    etag = found.headers["ETag"]
    known = get(server, url, cookie="user=1", if_none_match=etag)
    assert known.status_code == HTTPStatus.NOT_MODIFIED
    for each in (found, known):
        assert each.headers["Vary"] == "Authorization, Cookie"
    refused = get(server, url, cookie="user=2", if_none_match=etag)
    assert refused.status_code == HTTPStatus.FORBIDDEN


def test_authorize_may_abort_with_an_answer_of_werkzeug(engine: Engine) -> None:
    def authorize(request: Any, target: Any) -> bool:
        abort(HTTPStatus.UNAUTHORIZED, www_authenticate=WWWAuthenticate("basic"))

    server = FileServer(secret=SECRET, authorize=authorize)
    found = get(server, server.url_for(saved(engine, b"content", "a.txt")))
    assert found.status_code == HTTPStatus.UNAUTHORIZED
    assert found.headers["WWW-Authenticate"] == "Basic"
    assert b"content" not in found.data


def test_the_application_is_not_asked_about_public_files(engine: Engine) -> None:
    server = FileServer(public=["main"], authorize=lambda request, target: False)
    assert get(server, server.url_for(saved(engine, PNG, "a.png"))).data == PNG


def test_public_storages_need_no_signature_and_are_cached_for_ever(engine: Engine) -> None:
    server = FileServer(public=["main"])
    file = saved(engine, PNG, "a.png")
    url = server.url_for(file)
    assert url == f"/files/public/main/{file['file_id']}"
    found = get(server, url)
    assert (found.status_code, found.data) == (200, PNG)
    assert "immutable" in found.headers["Cache-Control"]
    assert get(server, "/public/other/x").status_code == HTTPStatus.NOT_FOUND
    assert get(server, "/public/main/../x").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("disposition", [None, "attachment"])
def test_a_public_url_says_how_the_bytes_are_compressed(engine: Engine, disposition: Any) -> None:
    server = FileServer(public=["main"])
    plain = saved(engine, b"packed", "a.txt")
    packed = File.decode({**plain, "headers": {"Content-Encoding": "gzip"}})
    url = server.url_for(packed, disposition=disposition)
    kind = disposition or "public"
    assert url == f"/files/{kind}.gzip/main/{plain['file_id']}"
    found = get(server, url)
    assert (found.status_code, found.data) == (200, b"packed")
    assert found.headers["Content-Encoding"] == "gzip"
    for odd in ("rot13", "", "gzip.gzip", "GZIP\r\n"):
        other = url.replace(f"{kind}.gzip", f"{kind}.{quote(odd)}")
        assert get(server, other).status_code == HTTPStatus.FORBIDDEN


def test_a_server_in_front_may_send_the_bytes(engine: Engine) -> None:
    server = FileServer(secret=SECRET, delivery=XAccelRedirect("/internal/{storage}/"))
    file = saved(engine, b"x" * 100, "a b.txt")
    found = get(server, server.url_for(file), range="bytes=0-9")
    assert (found.status_code, found.data) == (200, b"")
    assert found.headers["X-Accel-Redirect"] == f"/internal/main/{file['file_id']}"


class SigningStorage(MemoryStorage):
    """A storage that signs URLs, as buckets do."""

    def signed_url(self, key: str, *, expires: timedelta | float, method: str = "GET") -> str:
        return f"https://bucket.example.org/{key}?{method}"


def test_the_bucket_may_send_the_bytes(engine: Engine) -> None:
    StorageManager.add_storage("bucket", SigningStorage())
    server = FileServer(secret=SECRET, delivery={"bucket": "redirect"})
    with Session(engine) as session:
        letter = Letter(body=File(b"x" * 100, storage="bucket", filename="a.txt"))
        session.add(letter)
        session.commit()
        file = letter.body
    url = server.url_for(file)
    etag = get(server, url, "HEAD").headers["ETag"]
    for conditions in ({}, {"range": "bytes=500-"}, {"if_match": '"its own"'},
                       {"if_none_match": etag}):  # fmt: skip
        found = get(server, url, **conditions)
        assert (found.status_code, found.data) == (HTTPStatus.FOUND, b"")
        assert found.headers["Location"].endswith(f"{file['file_id']}?GET")
        assert "ETag" not in found.headers
    head = get(server, url, "HEAD")
    assert (head.status_code, head.headers["Content-Length"]) == (HTTPStatus.OK, "100")
    assert get(server, server.url_for(saved(engine, PNG, "a.png"))).data == PNG


def test_what_cannot_be_served_is_told_with_what_to_do(engine: Engine) -> None:
    file = saved(engine, b"x", "a.txt")
    with pytest.raises(ValueError, match="no secret"):
        FileServer().url_for(file)
    with pytest.raises(ValueError, match="stored File"):
        FileServer(secret=SECRET).url_for(File(b"x"))
    with pytest.raises(ValueError, match="variant='thumbnail'"):
        FileServer(secret=SECRET).url_for({"path": "main/x"})
    with pytest.raises(KeyError, match="no variant 'small'"):
        FileServer(secret=SECRET).url_for(file, variant="small")
    StorageManager.clear()
    with pytest.raises(RuntimeError, match="main"):
        FileServer(secret=SECRET).url_for(file)
