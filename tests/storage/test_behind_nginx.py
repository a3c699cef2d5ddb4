"""S3 behind nginx, which drops headers whose names hold more than letters, digits and hyphens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Container, StorageDriver
from obstore.store import S3Store

from sqlalchemy_file.storage import LibcloudStorage, Storage, adapt
from tests.services import nginx
from tests.services.ceph import S3Server
from tests.services.required import require
from tests.storage.helpers import put, read

METADATA = {"page_count": "3", "größe": "größer", "a b.c/d": "x", "plain-name": "y"}


@pytest.fixture(scope="module")
def port(s3_server: S3Server) -> Iterator[int]:
    require(nginx)
    with nginx.before(s3_server.url) as port:
        yield port


@pytest.fixture(params=["libcloud", "plain libcloud", "obstore"])
def storage(
    request: pytest.FixtureRequest,
    port: int,
    s3_server: S3Server,
    s3_driver: Callable[..., StorageDriver],
    bucket: Container,
) -> Storage:
    url = f"http://127.0.0.1:{port}"
    key, secret = s3_server.access_key, s3_server.secret_key
    if request.param == "obstore":
        store = S3Store(
            bucket.name,
            endpoint=url,
            region="us-east-1",
            access_key_id=key,
            secret_access_key=secret,
            client_options={"allow_http": True},
        )
        return adapt(store)
    container = s3_driver("minio", host="127.0.0.1", port=port).get_container(bucket.name)
    return adapt(container) if request.param == "libcloud" else LibcloudStorage(container)


@pytest.mark.parametrize("size", [5, 6 * 1024 * 1024])
def test_names_types_and_metadata_arrive(storage: Storage, size: int) -> None:
    put(storage, "key", b"x" * size, filename="grüße.txt", content_type="text/x", metadata=METADATA)
    found = storage.stat("key").attributes
    assert (found.filename, found.content_type) == ("grüße.txt", "text/x")
    assert found.metadata == METADATA
    assert len(read(storage, "key")) == size


def test_a_copy_keeps_them(storage: Storage) -> None:
    put(storage, "key", filename="name", metadata=METADATA)
    assert storage.copy("key", "copy").attributes.metadata == METADATA
