"""Azure, by Microsoft's own emulator: names, headers and signed addresses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import requests
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from obstore.store import AzureStore

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import Storage, adapt
from sqlalchemy_file.storage.obstore import ObstoreStorage
from tests.services import azurite
from tests.services.azurite import AzureServer
from tests.services.required import require
from tests.storage.helpers import keys, put, read

KEYS = (
    *("plain", "a b", "ü", "folder/a b", "a+b", "a%20b", "a#b?c", "ä/ö (1).txt", "a&b=c"),
    *("日本", "~x", "q'\"<>", "x;y,z", "a:b@c"),
)
METADATA = {"page_count": "3", "camera-model": "x", "größe": "größer", "2nd": "y"}


@pytest.fixture(scope="module")
def server() -> Iterator[AzureServer]:
    require(azurite)
    with azurite.running() as server:
        yield server


@pytest.fixture
def driver(server: AzureServer) -> AzureBlobsStorageDriver:
    place = {"host": "127.0.0.1", "port": server.port, "secure": False}
    return AzureBlobsStorageDriver(server.account, server.key, **place)


@pytest.fixture
def container(driver: AzureBlobsStorageDriver) -> str:
    name = f"storage-{uuid.uuid4().hex[:12]}"
    driver.create_container(name)
    return name


@pytest.fixture
def through_libcloud(driver: AzureBlobsStorageDriver, container: str) -> Storage:
    return adapt(driver.get_container(container))


@pytest.fixture
def through_obstore(server: AzureServer, container: str) -> ObstoreStorage:
    address = f"az://{container}?account_name={server.account}&endpoint={server.url}"
    storage = adapt(address, account_key=server.key)
    assert isinstance(storage, ObstoreStorage)
    return storage


@pytest.mark.parametrize("name", ["through_libcloud", "through_obstore"])
def test_metadata_of_any_name_are_kept(name: str, request: pytest.FixtureRequest) -> None:
    storage = request.getfixturevalue(name)
    put(storage, "key", filename="grüße.txt", content_type="text/x", metadata=METADATA)
    found = storage.stat("key").attributes
    assert (found.filename, found.content_type) == ("grüße.txt", "text/x")
    assert found.metadata == METADATA


@pytest.mark.parametrize("name", ["through_libcloud", "through_obstore"])
@pytest.mark.parametrize("size", [5, 6 * 1024 * 1024])
def test_headers_are_those_of_the_object(
    name: str, size: int, through_obstore: ObstoreStorage, request: pytest.FixtureRequest
) -> None:
    headers = {
        "Content-Disposition": 'attachment; filename="a b.txt"',
        "Cache-Control": "no-store",
        "Content-Language": "de",
        "Content-Encoding": "identity",
    }
    storage = request.getfixturevalue(name)
    put(storage, "key", b"x" * size, content_type="text/plain", headers=headers)
    address = through_obstore.signed_url("key", expires=60)
    assert address is not None
    answer = requests.get(address, timeout=10)
    assert len(answer.content) == size
    assert {each: answer.headers.get(each) for each in headers} == headers
    assert answer.headers["Content-Type"] == "text/plain"


def test_addresses_of_any_key_are_signed_as_azure_reads_them(
    through_obstore: ObstoreStorage,
) -> None:
    for key in KEYS:
        put(through_obstore, key, key.encode())
        address = through_obstore.signed_url(key, expires=60)
        assert address is not None
        assert requests.get(address, timeout=10).content == key.encode()
        assert requests.delete(address, timeout=10).status_code == 403
        address = through_obstore.signed_url(key, expires=60, method="PUT")
        assert address is not None
        kind = {"x-ms-blob-type": "BlockBlob"}
        assert requests.put(address, data=b"new", headers=kind, timeout=10).status_code == 201
        assert read(through_obstore, key) == b"new"
        address = through_obstore.signed_url(key, expires=60, method="DELETE")
        assert address is not None
        assert requests.delete(address, timeout=10).status_code == 202
    assert keys(through_obstore) == []


def test_the_key_may_stand_in_the_environment(
    server: AzureServer, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", server.key)
    storage = adapt(f"az://{container}?account_name={server.account}&endpoint={server.url}")
    assert isinstance(storage, ObstoreStorage)
    put(storage, "a b", b"bytes")
    address = storage.signed_url("a b", expires=60)
    assert address is not None
    assert requests.get(address, timeout=10).content == b"bytes"


def test_without_the_accounts_key_no_address_is_made_that_azure_would_refuse() -> None:
    login = {"account_name": "me", "account_key": "a2V5"}
    assert ObstoreStorage(AzureStore("container", **login)).signed_url("a b", expires=60)

    class Hidden(AzureStore):
        config = {}  # noqa: RUF012  as that of a credential provider

    hidden = ObstoreStorage(Hidden("container", **login))
    assert hidden.signed_url("plain", expires=60) is not None
    with pytest.raises(StorageError, match="key 'a b': URLs of keys with spaces"):
        hidden.signed_url("a b", expires=60)
