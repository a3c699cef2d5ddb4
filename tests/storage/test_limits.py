"""Options, time limits and repeated requests: what becomes of a storage that does not answer."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver
from obstore.store import MemoryStore
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import (
    InvalidStorageError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, Limits, MemoryStorage, Storage, adapt
from sqlalchemy_file.storage.common.calling import concurrency_of, pauses
from tests.databases import tables_on
from tests.models import Base, Paper
from tests.services.ceph import S3Server
from tests.storage.helpers import keys, put, read
from tests.storage.server import Answer, Request, answering
from tests.storage.silence import silent

PLAIN = Attributes()


def _container(port: int, secret: str = "secret") -> Container:
    driver = MinIOStorageDriver("key", secret=secret, host="127.0.0.1", port=port, secure=False)
    return Container("bucket", {}, driver)


def _address(url: str, bucket: str = "bucket") -> tuple[str, dict[str, Any]]:
    return f"s3://{bucket}/prefix", {
        "endpoint": url,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": "hunter2",
    }


# --- options


def test_options_overrule_the_query_of_an_address(bucket: Container, s3_server: S3Server) -> None:
    StorageManager.add_storage(
        "media",
        f"s3://{bucket.name}/a?region=nowhere&access_key_id=nobody&concurrency=4",
        endpoint=s3_server.url,
        region="us-east-1",
        access_key_id=s3_server.access_key,
        secret_access_key=s3_server.secret_key,
        concurrency=16,
        timeout=timedelta(seconds=20),
        max_retries=1,
        client_options={"user_agent": "tests"},
        retry_config={"retry_timeout": timedelta(seconds=5)},
    )
    StorageManager.save_file("key", b"bytes")
    assert keys(StorageManager.storage()) == ["key"]
    assert concurrency_of(StorageManager.storage()) == 16


def test_a_credential_provider_is_asked_again_when_its_keys_expire(
    bucket: Container, s3_server: S3Server
) -> None:
    from datetime import UTC, datetime

    asked = []

    def provider() -> dict[str, Any]:
        asked.append(1)
        return {
            "access_key_id": s3_server.access_key,
            "secret_access_key": s3_server.secret_key,
            "expires_at": datetime.now(UTC) - timedelta(seconds=1),
        }

    storage = adapt(
        f"s3://{bucket.name}",
        endpoint=s3_server.url,
        region="us-east-1",
        credential_provider=provider,
    )
    put(storage, "a")
    put(storage, "b")
    assert keys(storage) == ["a", "b"]
    assert len(asked) >= 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"regoin": "hunter2"}, "allows no option 'regoin'"),
        ({"timeout": object()}, "'timeout' is a number of seconds"),
        ({"retry_timeout": "hunter2"}, "'retry_timeout' is a number of seconds"),
        ({"max_retries": -1}, "'max_retries' is a whole number from 0 on"),
        ({"concurrency": 0}, "'concurrency' is a whole number from 1 on"),
        ({"client_options": "hunter2"}, "'client_options' is a dict"),
        ({"skip_signature": "hunter2"}, r"these options \(skip_signature\)"),
    ],
)
def test_an_unusable_option_names_the_storage_and_no_value(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidStorageError, match=f"storage 'media': .*{told}") as caught:
        StorageManager.add_storage("media", "s3://bucket", **options)
    assert "hunter2" not in str(caught.value)


def test_a_folder_takes_the_options_of_local_storage(tmp_path: Path) -> None:
    storage = adapt(tmp_path.as_uri(), sidecars=True, fsync=False)
    put(storage, "key", filename="name")
    assert (tmp_path / "key.metadata.json").is_file()


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder.as_uri(),
        lambda folder: "memory://",
        lambda folder: MemoryStore(),
        lambda folder: DummyStorageDriver("key", "secret").create_container("container"),
        lambda folder: LocalStorageDriver(str(folder)).create_container("container"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(InvalidStorageError, match="no option"):
        adapt(make(tmp_path), nonsense="hunter2")


def test_a_storage_takes_no_options() -> None:
    with pytest.raises(TypeError, match="takes no options, not 'fsync'") as caught:
        StorageManager.add_storage("mine", MemoryStorage(), fsync=True)
    assert "while adding the storage 'mine'" in caught.value.__notes__


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": "5"}, {"max_retries": -1}, {"max_retries": 1.5}]
)
def test_a_container_refuses_limits_that_are_none(options: dict[str, Any]) -> None:
    container = DummyStorageDriver("key", "secret").create_container("container")
    with pytest.raises(InvalidStorageError, match=next(iter(options))):
        adapt(container, **options)


def test_buckets_through_obstore_get_many_requests_at_a_time() -> None:
    assert concurrency_of(adapt(MemoryStore())) == 32
    assert concurrency_of(adapt(MemoryStore(), concurrency=5)) == 5


# --- the manager's limit


class _Watched(MemoryStorage):
    """Counts how many puts are under way at the same time."""

    concurrency = 8

    def __init__(self, together: int) -> None:
        super().__init__()
        self.most = self._now = 0
        self._guard = threading.Lock()
        self._barrier = threading.Barrier(together)

    def put(self, *arguments: Any, **options: Any) -> Any:
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            self._barrier.wait(30)  # broken, unless that many do come together
            return super().put(*arguments, **options)
        finally:
            with self._guard:
                self._now -= 1


@pytest.mark.parametrize(("limit", "together"), [(None, 8), (4, 4), (1, 1), (100, 8)])
def test_a_flush_has_no_more_requests_under_way_than_the_limit(
    limit: int | None, together: int
) -> None:
    storage = _Watched(together)
    StorageManager.add_storage("default", storage)
    StorageManager.set_limit(limit)
    assert StorageManager.get_limit() == limit
    with tables_on("sqlite://", Base.metadata) as engine, Session(engine) as session:
        session.add_all([Paper(body=File(b"%d" % number)) for number in range(16)])
        session.commit()
    assert (storage.most, len(keys(storage))) == (together, 16)


def test_clear_forgets_the_limits() -> None:
    StorageManager.set_limit(Limits(requests=3, parts=2))
    assert StorageManager.get_limit() == 3
    StorageManager.clear()
    assert StorageManager.get_limit() is None
    assert StorageManager.limits() == Limits()


def test_a_number_is_the_limit_of_requests() -> None:
    StorageManager.set_limit(3)
    assert StorageManager.limits() == Limits(requests=3)
    StorageManager.set_limit(None)
    assert StorageManager.limits() == Limits()


@pytest.mark.parametrize("name", ["requests", "uploads", "parts", "threads"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), ("8", TypeError), (True, TypeError)]
)
def test_limits_are_whole_numbers(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"the limit is .*{name}"):
        Limits(**{name: value})


def test_no_more_threads_are_begun_than_the_limit() -> None:
    StorageManager.set_limit(Limits(threads=3))
    storage = _Watched(3)
    StorageManager.add_storage("default", storage)

    async def save(number: int) -> None:
        await StorageManager.asave_file(f"{number}", b"bytes")

    async def story() -> None:
        await asyncio.gather(*map(save, range(9)))

    asyncio.run(story())
    assert storage.most == 3


@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (-1, ValueError), ("8", TypeError), (True, TypeError)]
)
def test_a_limit_is_a_number_of_requests(limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the limit is"):
        StorageManager.set_limit(limit)


# --- storages that do not answer


@pytest.mark.parametrize("option", ["timeout", "read_timeout"])
def test_a_bucket_that_stalls_is_given_up(option: str) -> None:
    with silent() as (port, taken):
        address, options = _address(f"http://127.0.0.1:{port}")
        StorageManager.add_storage("media", address, **options, **{option: 0.3}, max_retries=1)
        began = time.monotonic()
        with pytest.raises(
            StorageError, match=r"storage 'media', key 'key': .*timed out"
        ) as caught:
            StorageManager.get_file("media/key")
        assert time.monotonic() - began < 30
        assert len(taken) == 2
        assert "hunter2" not in str(caught.value)
        with pytest.raises(StorageError, match=r"storage 'media', key 'key': .*timed out"):
            StorageManager.save_file("key", b"bytes")


def test_a_container_that_stalls_is_given_up() -> None:
    with silent() as (port, taken):
        StorageManager.add_storage("old", _container(port), timeout=0.3, max_retries=1)
        with pytest.raises(StorageError, match=r"storage 'old', key 'key': .*[Tt]imed? ?out"):
            StorageManager.get_file("old/key")
        assert len(taken) == 2
        with pytest.raises(StorageError, match="storage 'old', key 'key'"):
            StorageManager.save_file("key", b"bytes")


def _failing(times: int, seen: list[Request]) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(503) if len(seen) <= times else Answer(200, b"bytes", {"ETag": '"1"'})

    return answer


@pytest.mark.parametrize("kind", ["libcloud", "obstore"])
def test_what_is_safe_to_repeat_is_repeated(kind: str) -> None:
    seen: list[Request] = []
    with answering(_failing(2, seen)) as port:
        assert read(_served(kind, port), "key") == b"bytes"
        assert len(seen) == 3
        seen.clear()
        _served(kind, port).put("key", io.BytesIO(b"bytes"), PLAIN)
        assert [request.method for request in seen] == ["PUT"] * 3


def test_a_number_of_retries_is_heeded() -> None:
    seen: list[Request] = []
    with answering(_failing(100, seen)) as port:
        with pytest.raises(StorageError, match="503"):
            read(_served("libcloud", port, max_retries=0), "key")
        assert len(seen) == 1
        with pytest.raises(StorageError):
            read(_served("obstore", port, max_retries=2), "key")
        assert len(seen) == 1 + 3


def test_pauses_grow_and_end() -> None:
    first, *others = pauses(10, within=1000)
    assert 0.05 <= first <= 0.1
    assert max(others) <= 5
    assert len(others) == 9
    assert list(pauses(10, within=0)) == []


# --- what is wrong shows at the first use


def test_a_wrong_secret_and_a_missing_bucket_name_the_storage(
    bucket: Container, s3_server: S3Server
) -> None:
    options = {"endpoint": s3_server.url, "region": "us-east-1"}
    right = {
        "access_key_id": s3_server.access_key,
        "secret_access_key": s3_server.secret_key,
    }
    StorageManager.add_storage(
        "wrong", f"s3://{bucket.name}", **options, **{**right, "secret_access_key": "hunter2"}
    )
    with pytest.raises(StorageError, match=r"storage 'wrong', key 'key'.*Signature") as caught:
        StorageManager.save_file("key", b"bytes", "wrong")
    assert "hunter2" not in str(caught.value)
    StorageManager.add_storage("missing", "s3://no-such-bucket", **options, **right)
    with pytest.raises(StorageError, match="storage 'missing', key 'key': the bucket"):
        StorageManager.save_file("key", b"bytes", "missing")


# --- web servers


def test_a_web_server_is_read_and_not_written() -> None:
    def answer(request: Request) -> Answer:
        if request.path != "/folder/key":
            return Answer(404)
        dates = {"Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT"}
        if request.method == "HEAD":
            return Answer(200, b"0123456789", dates)
        if request.headers.get("range") == "bytes=2-3":
            return Answer(206, b"23", {**dates, "Content-Range": "bytes 2-3/10"})
        return Answer(200 if request.method == "GET" else 405, b"0123456789", dates)

    with answering(answer) as port:
        StorageManager.add_storage("web", f"http://127.0.0.1:{port}/folder", timeout=5)
        file = StorageManager.get_file("web/key")
        assert (file.size, file.read()) == (10, b"0123456789")
        assert read(StorageManager.storage(), "key", 2, 4) == b"23"
        with pytest.raises(ObjectNotFoundError):
            StorageManager.get_file("web/missing")
        storage = StorageManager.storage()
        actions: list[Callable[[], object]] = [
            lambda: StorageManager.save_file("key", b"bytes"),
            lambda: StorageManager.delete_file("web/key"),
            lambda: storage.copy("key", "new"),
        ]
        for action in actions:
            with pytest.raises(StorageError, match="can only be read"):
                action()


def test_a_web_address_has_no_other_options() -> None:
    with pytest.raises(InvalidStorageError, match="no option 'region'"):
        adapt("https://example.invalid/files", region="x")


def _served(kind: str, port: int, **options: Any) -> Storage:
    if kind == "libcloud":
        return adapt(_container(port), **options)
    address, own = _address(f"http://127.0.0.1:{port}")
    return adapt(address, **own, **options)
