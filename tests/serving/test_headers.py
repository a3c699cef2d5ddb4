"""Which facts of a record stand in the headers of an answer."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving import FileServer

from .models import SECRET, Letter, saved


def get(server: FileServer, file: Any, **options: Any) -> Any:
    path = server.url_for(file, **options).removeprefix(server.url)
    return Client(server.wsgi, use_cookies=False).get(path)


def test_the_entity_tag_is_that_of_the_bytes_wherever_they_are(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    StorageManager.add_storage("other", "memory://")
    with Session(engine) as session:
        letters = [
            Letter(body=File(content, filename=name, storage=storage))
            for content, name, storage in [
                (b"one", "a.txt", "main"), (b"one", "b.bin", "other"), (b"two", "a.txt", "main"),
            ]
        ]  # fmt: skip
        session.add_all(letters)
        session.commit()
        first, same, other = (get(server, letter.body).headers["ETag"] for letter in letters)
    assert first == same != other
    assert first.startswith('"')


def test_the_entity_tag_of_a_record_without_a_checksum_is_that_of_its_object(
    engine: Engine,
) -> None:
    server = FileServer(secret=SECRET)
    old = []
    for name in ("a.txt", "b.txt"):
        record = dict(saved(engine, b"one", name))
        del record["checksum"]
        old.append(File.decode(record))
    tags = [get(server, file).headers["ETag"] for file in (*old, *old)]
    assert tags[:2] == tags[2:]
    assert tags[0] != tags[1]
    assert all(tag.startswith('"') for tag in tags)  # strong: an object never changes


def test_digest_and_date_are_those_of_the_record(engine: Engine) -> None:
    file = saved(engine, b"one", "a.txt")
    found = get(FileServer(secret=SECRET), file)
    digest = base64.b64encode(bytes.fromhex(file["checksum"].removeprefix("sha256:"))).decode()
    assert found.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    stored = datetime.fromisoformat(file["uploaded_at"]).replace(microsecond=0)
    assert parsedate_to_datetime(found.headers["Last-Modified"]) == stored


def test_a_signed_url_may_be_cached_by_its_browser_until_it_expires(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    found = get(server, saved(engine, b"one", "a.txt"), expires=timedelta(hours=1))
    kind, age, rest = found.headers["Cache-Control"].split(", ")
    assert (kind, rest) == ("private", "immutable")
    assert 3590 < int(age.removeprefix("max-age=")) <= 5400


def test_a_url_on_another_host_is_whole(engine: Engine) -> None:
    server = FileServer(secret=SECRET, url="https://files.example.org/media")
    file = saved(engine, b"one", "a.txt")
    assert server.url_for(file).startswith("https://files.example.org/media/")
    assert get(server, file).data == b"one"


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/xml", "text/xml", "application/xhtml+xml",
             "text/javascript", "application/octet-stream", "application/x-own"]
)  # fmt: skip
@pytest.mark.parametrize("asked", [None, "inline"])
def test_types_that_may_run_code_are_attachments(engine: Engine, kind: str, asked: Any) -> None:
    file = File.decode({**saved(engine, b"x", "a.bin"), "content_type": kind})
    found = get(FileServer(secret=SECRET), file, disposition=asked)
    assert found.headers["Content-Disposition"] == 'attachment; filename="a.bin"'
    sent = found.headers["Content-Type"]
    assert sent == (
        "application/x-own" if kind == "application/x-own" else "application/octet-stream"
    )


def test_an_expired_url_and_a_missing_object_get_a_problem(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FileServer(secret=SECRET)
    file = saved(engine, b"one", "a.txt")
    url = server.url_for(file, expires=timedelta(days=1)).removeprefix(server.url)
    StorageManager.delete_file(file["path"])
    gone = Client(server.wsgi).get(url)
    from sqlalchemy_file.serving import server as module

    later = module._now() + timedelta(days=3)
    monkeypatch.setattr(module, "_now", lambda: later)
    expired = Client(server.wsgi).get(url)
    for found, status, title in [(gone, 404, "Not Found"), (expired, 410, "Gone")]:
        assert found.status_code == status
        assert found.headers["Content-Type"] == "application/problem+json"
        assert (found.json["status"], found.json["title"]) == (status, title)


def test_other_sites_may_always_embed_a_public_file(engine: Engine) -> None:
    server = FileServer(public=["main"], cross_site=False)
    path = server.url_for(saved(engine, b"one", "a.txt")).removeprefix(server.url)
    found = Client(server.wsgi).get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert (found.status_code, found.data) == (200, b"one")
