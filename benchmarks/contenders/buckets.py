"""A bucket of the benchmark's S3 server, through libcloud, obstore and fsspec."""

from __future__ import annotations

from typing import Any


def bucket_of_libcloud(s3: dict[str, Any]) -> Any:
    from libcloud.storage.providers import get_driver
    from libcloud.storage.types import Provider

    driver = get_driver(Provider.MINIO)(
        s3["access_key"], s3["secret_key"], secure=False, host=s3["host"], port=s3["port"]
    )
    return driver.get_container(s3["bucket"])


def bucket_of_obstore(s3: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    return S3Store(
        s3["bucket"],
        endpoint=f"http://{s3['host']}:{s3['port']}",
        access_key_id=s3["access_key"],
        secret_access_key=s3["secret_key"],
        region="us-east-1",
        client_options={"allow_http": True},
    )


def filesystem_of_fsspec(s3: dict[str, Any]) -> Any:
    from s3fs import S3FileSystem

    filesystem = S3FileSystem(
        key=s3["access_key"],
        secret=s3["secret_key"],
        endpoint_url=f"http://{s3['host']}:{s3['port']}",
    )
    filesystem.ls(s3["bucket"])  # loads its description of S3, which takes 12 MB
    return filesystem
