"""Buckets send the disposition that an object was stored with."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from libcloud.storage.base import Container
from obstore.store import S3Store
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.storage import adapt
from sqlalchemy_file.storage.common.protocol import HasSignedURL


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "storage_invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    pdf: Mapped[File | None] = mapped_column(FileField(disposition="attachment"))


@pytest.fixture(params=["libcloud", "obstore"])
def added(
    request: pytest.FixtureRequest,
    bucket: Container,
    s3_store: S3Store,
) -> Iterator[Any]:
    things: dict[str, Any] = {"libcloud": bucket, "obstore": s3_store}
    StorageManager.add_storage("main", things[request.param])
    yield
    StorageManager.clear()


def test_a_field_s_disposition_is_kept_with_the_object_s3(added: None, s3_store: S3Store) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        invoice = Invoice(pdf=File(b"%PDF-1.7 ...", filename="größe.pdf"))
        session.add(invoice)
        session.commit()
        assert invoice.pdf is not None
        key = invoice.pdf.file_id
    engine.dispose()
    signing = adapt(s3_store)
    assert isinstance(signing, HasSignedURL)
    url = signing.signed_url(key, expires=timedelta(minutes=1))
    with urllib.request.urlopen(str(url)) as answer:
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"] == (
            "attachment; filename=\"gro_e.pdf\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.pdf"
        )
