"""Try the wheel alone, as `pip install sqlalchemy-file` leaves it: no extra, no test dependency."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
import tempfile
from importlib.resources import files

from libcloud.storage.drivers.local import LocalStorageDriver
from sqlalchemy import Column, Integer, String, create_engine, select
from sqlalchemy.orm import Session, declarative_base

import sqlalchemy_file
from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.storage import StorageManager

# Loaded at the first use of an image, a bucket or a command, by name, and by pytest itself.
NEED_MORE = (
    "sqlalchemy_file.cli.",
    "sqlalchemy_file.imaging.",
    "sqlalchemy_file.integrations.",
    "sqlalchemy_file.storage.fsspec",
    "sqlalchemy_file.storage.obstore",
    "sqlalchemy_file.storage.s3_container",
    "sqlalchemy_file.testing.conformance",
    "sqlalchemy_file.testing.objects",
)

Base = declarative_base()


class Attachment(Base):
    __tablename__ = "attachment"

    id = Column(Integer, autoincrement=True, primary_key=True)
    name = Column(String(50), unique=True)
    content = Column(FileField)


def installed_alone() -> None:
    assert sqlalchemy_file.__file__.startswith(sys.prefix), sqlalchemy_file.__file__
    assert importlib.util.find_spec("PIL") is None, "Pillow is here: nothing would be proven"
    assert importlib.util.find_spec("pytest") is None, "pytest is here: nothing would be proven"
    assert files(sqlalchemy_file).joinpath("py.typed").is_file(), "the wheel lacks py.typed"


def every_module_imports() -> None:
    modules = pkgutil.walk_packages(sqlalchemy_file.__path__, "sqlalchemy_file.")
    names = [module.name for module in modules if not module.name.startswith(NEED_MORE)]
    for name in names:
        importlib.import_module(name)
    print(f"imported {len(names)} modules")


def what_needs_an_extra_names_it() -> None:
    message = ""
    try:
        ImageField()
    except MissingExtraError as error:
        message = str(error)
    assert "sqlalchemy-file[image]" in message, f"without Pillow an ImageField says: {message!r}"


def guides_local_storage_keeps_a_file() -> None:
    os.makedirs("./upload_dir/attachment", 0o777, exist_ok=True)  # noqa: PTH103  as in the guide
    my_container = LocalStorageDriver("./upload_dir").get_container("attachment")
    StorageManager.add_storage("default", my_container)
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Attachment(name="first", content=File(b"hello", filename="hello.txt")))
        session.commit()
    with Session(engine) as session:
        attachment = session.scalars(select(Attachment)).one()
        assert attachment.content.file.read() == b"hello"
        session.delete(attachment)
        session.commit()
    left = os.listdir("upload_dir/attachment")  # noqa: PTH208  as above
    assert left == [], f"left over: {left}"
    print("stored, read and deleted a file")


if __name__ == "__main__":
    installed_alone()
    every_module_imports()
    what_needs_an_extra_names_it()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        guides_local_storage_keeps_a_file()
