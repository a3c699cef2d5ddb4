"""What the environment says to libcloud's requests: of proxies, not of passwords."""

from __future__ import annotations

from pathlib import Path

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.minio import MinIOStorageDriver

from sqlalchemy_file.storage import Storage
from sqlalchemy_file.storage.adapters import adapt
from tests.storage.helpers import put
from tests.storage.server import Answer, Request, answering

ETAG = {"ETag": '"etag"'}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def bucket_at(host: str, port: int) -> Storage:
    driver = MinIOStorageDriver("key", secret="hunter2", host=host, port=port, secure=False)
    return adapt(Container("bucket", {}, driver))


def test_requests_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(200, headers=ETAG)

    with answering(answer) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        storage = bucket_at("far.example", 9000)
        for number in range(3):
            put(storage, f"{number}")
    expected = [f"http://far.example:9000/bucket/{number}" for number in range(3)]
    assert [request.path for request in seen] == expected


@pytest.mark.parametrize(
    ("host", "excepted"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "*"), ("localhost", "localhost:{port}")],
)
def test_hosts_that_the_environment_excepts_are_reached_directly(
    monkeypatch: pytest.MonkeyPatch, host: str, excepted: str
) -> None:
    with answering(lambda _: Answer(200, headers=ETAG)) as port:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", excepted.format(port=port))
        put(bucket_at(host, port), "key")


def test_a_password_in_the_home_does_not_take_the_place_of_a_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str] = []

    def answer(request: Request) -> Answer:
        seen.append(request.headers["authorization"])
        return Answer(200, headers=ETAG)

    with answering(answer) as port:
        put(bucket_at("127.0.0.1", port), "key")
    assert seen[0].startswith("AWS4-HMAC-SHA256 ")
