"""A JPEG that gets reduced copies is decoded by what makes them, and by nothing before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError
from sqlalchemy_file.imaging import decoding
from sqlalchemy_file.processors import Variants
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import ImageValidator
from tests.pictures import encoded, noise


class Base(DeclarativeBase):
    pass


class Picture(Base):
    __tablename__ = "decoded_once"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[File | None] = mapped_column(ImageField())
    small: Mapped[File | None] = mapped_column(ImageField(thumbnail_size=(16, 16)))
    varied: Mapped[File | None] = mapped_column(
        FileField(validators=[ImageValidator()], processors=[Variants(small=(16, 16))])
    )


@pytest.fixture
def session() -> Any:
    StorageManager.add_storage("main", MemoryStorage())
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def read_through(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the formats of the pictures that validators decode from now on."""
    formats: list[str] = []
    real = decoding.read_through

    def counting(image: Any, max_pixels: int) -> None:
        formats.append(image.format)
        real(image, max_pixels)

    monkeypatch.setattr(decoding, "read_through", counting)
    return formats


@pytest.mark.parametrize("column", ["small", "varied"])
def test_validators_leave_a_jpeg_to_the_processors(
    session: Session, read_through: list[str], column: str
) -> None:
    session.add(Picture(**{column: File(encoded(noise(), "JPEG"))}))
    session.commit()
    assert read_through == []
    session.add(Picture(**{column: File(encoded(noise(), "PNG"))}))
    session.add(Picture(plain=File(encoded(noise(), "JPEG"))))
    session.commit()
    assert sorted(read_through) == ["JPEG", "PNG"]


@pytest.mark.parametrize("column", ["plain", "small", "varied"])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_broken_picture_is_wrong_for_its_attribute_and_leaves_nothing(
    session: Session, column: str, format_name: str, progressive: bool, tmp_path: Path
) -> None:
    whole = encoded(noise(300, 300), format_name, progressive=progressive)
    session.add(Picture(**{column: File(whole[:-2000])}))
    with pytest.raises(InvalidImageError, match="Provide valid image file") as caught:
        session.commit()
    assert caught.value.key == column
    session.rollback()
    assert list(StorageManager.storage("main").list()) == []
