"""What `import sqlalchemy_file` leaves for later, and that later is early enough."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

import sqlalchemy_file
from sqlalchemy_file import FileField


def run(program: str, *arguments: str) -> list[str]:
    """Run a program in a new process; return the words that it prints."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOADING = """
import sys
def loaded():
    print(*(name for name in sys.argv[1:] if name in sys.modules), ";")
import sqlalchemy_file
loaded()
from sqlalchemy_file import File, FileField, ImageField, StorageManager
loaded()
FileField()
loaded()
sqlalchemy_file.exceptions.ObjectNotFoundError, sqlalchemy_file.validation.validate
sqlalchemy_file.processors.Variants, sqlalchemy_file.ledger.Ledger
loaded()
"""


def test_nothing_is_loaded_before_it_is_needed():
    libraries = ("libcloud", "requests", "urllib3", "PIL", "obstore", "fsspec", "http.client")
    parts = ("sqlalchemy", "sqlalchemy_file.tracking", "sqlalchemy_file.detection.content")
    loaded = " ".join(run(LOADING, *parts, *libraries)).split(";")
    assert [each.split() for each in loaded] == [
        [],
        ["sqlalchemy"],
        ["sqlalchemy", "sqlalchemy_file.tracking"],
        ["sqlalchemy", "sqlalchemy_file.tracking"],
        [],
    ]


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = sqlalchemy_file.nope  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="nope"):
        from sqlalchemy_file import nope  # noqa: F401
    assert set(dir(sqlalchemy_file)) >= set(sqlalchemy_file.__all__)


OURS = """
import pickle
from sqlalchemy_file.exceptions import ObjectNotFoundError
class Missing(ObjectNotFoundError): ...
pickled = pickle.dumps(Missing(key="pickled"))
"""
THEIRS = """
from libcloud.storage.types import ObjectDoesNotExistError
"""
CATCHING = """
for error in (ObjectNotFoundError, ObjectNotFoundError(key="k"), Missing(), pickle.loads(pickled)):
    try:
        raise error
    except ObjectDoesNotExistError as caught:
        print(caught.object_name)
"""


@pytest.mark.parametrize("imports", [OURS + THEIRS, THEIRS + OURS], ids=["after", "before"])
def test_libclouds_error_catches_ours_where_libcloud_is_imported(imports):
    assert run(imports + CATCHING) == ["None", "k", "None", "pickled"]


WITHIN_A_TRANSACTION = """
import pickle, sys
from sqlalchemy import Column, Integer, Table, create_engine, text
from sqlalchemy.orm import Session, registry
from sqlalchemy.pool import StaticPool
from sqlalchemy_file import File, StorageManager

StorageManager.add_storage("files", "memory://")
def keys():
    return {each.key for each in StorageManager.storage().list()}

class Document: ...

with Session(create_engine("sqlite://", poolclass=StaticPool)) as session:
    session.execute(text("select 1"))
    %s
    mapped = registry()
    table = Table("t", mapped.metadata, Column("id", Integer, primary_key=True), Column("f", field))
    mapped.map_imperatively(Document, table)
    mapped.metadata.create_all(session.connection())
    document = Document()
    document.f = File(b"one")
    session.add(document)
    session.commit()
    first = document.f.file_id
    document.f = File(b"two")
    session.flush()
    print(len(keys()))
    session.rollback()
    print(keys() == {first})
    document.f = File(b"three")
    session.commit()
    print(keys() == {document.f.file_id}, first in keys())
"""


@pytest.mark.parametrize(
    "declared",
    [
        "from sqlalchemy_file.types import FileField; field = FileField()",
        "field = pickle.loads(bytes.fromhex(sys.argv[1])).tables['other'].c.f.type.copy()",
    ],
    ids=["declared", "unpickled"],
)
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_the_first_file_column_may_come_within_a_transaction(declared, protocol):
    other = MetaData()
    Table("other", other, Column("id", Integer), Column("f", FileField()))
    words = run(WITHIN_A_TRANSACTION % declared, pickle.dumps(other, protocol).hex())
    assert words == ["2", "True", "True", "False"]
