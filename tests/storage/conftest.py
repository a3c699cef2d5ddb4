"""Buckets and drivers for the tests of the storages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Container, StorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver
from libcloud.storage.drivers.s3 import S3StorageDriver
from obstore.store import S3Store
from s3fs import S3FileSystem

from tests.services.ceph import S3Server

DRIVERS: dict[str, type[StorageDriver]] = {"minio": MinIOStorageDriver, "s3": S3StorageDriver}


@pytest.fixture
def s3_driver(s3_server: S3Server) -> Callable[[str], StorageDriver]:
    """Return a function that makes a driver, by its name here."""

    def make(name: str = "minio", **options: object) -> StorageDriver:
        settings = {
            "secret": s3_server.secret_key,
            "host": s3_server.host,
            "port": s3_server.port,
            "secure": False,
            **options,
        }
        return DRIVERS[name](s3_server.access_key, **settings)  # type: ignore[call-arg]

    return make


@pytest.fixture
def bucket(s3_driver: Callable[[str], StorageDriver]) -> Iterator[Container]:
    """Return a new bucket, of the MinIO driver; whatever is in it at the end is deleted."""
    driver = s3_driver("minio")
    container = driver.create_container(f"storage-{uuid.uuid4().hex[:12]}")
    yield container
    for entry in driver.iterate_container_objects(container):
        entry.delete()
    driver.delete_container(container)


@pytest.fixture
def s3_store(bucket: Container, s3_server: S3Server) -> S3Store:
    """Return a store of obstore, of a new bucket."""
    return S3Store(
        bucket.name,
        endpoint=s3_server.url,
        region="us-east-1",
        access_key_id=s3_server.access_key,
        secret_access_key=s3_server.secret_key,
        client_options={"allow_http": True},
    )


@pytest.fixture
def s3_filesystem(s3_server: S3Server) -> S3FileSystem:
    """Return s3fs, which has loaded its description of S3 already: that takes 12 MB."""
    filesystem = S3FileSystem(
        key=s3_server.access_key,
        secret=s3_server.secret_key,
        client_kwargs={"endpoint_url": s3_server.url, "region_name": "us-east-1"},
        skip_instance_cache=True,
    )
    filesystem.call_s3("list_buckets")
    return filesystem
