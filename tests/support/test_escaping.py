"""Keys and names that hold control characters reach no log line and no terminal as they are."""

from __future__ import annotations

import io
import json
import logging
import traceback
from types import SimpleNamespace

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.cli.output import Printer, show_status
from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectNotFoundError,
    SQLAlchemyFileError,
    StorageError,
    UnknownStorageError,
    escaped,
)
from sqlalchemy_file.observing import Task, counted
from sqlalchemy_file.reconcile import Finding

HOSTILE = [
    "a\nERROR root: nothing is wrong",
    "a\rb",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "invoice\u202efdp.exe",
    "a\u2028b\u2029c\x85d",
    "\udcff",
    "\x00",
    "tag\U000e0001",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_printable_is_escaped(text: str) -> None:
    shown = escaped(text)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == text


@pytest.mark.parametrize("text", ["", "key", "grüße 1.txt", "日本", "a\\b", "\U0001f600"])
def test_what_is_printable_stays(text: str) -> None:
    assert escaped(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_errors_are_one_harmless_line(text: str) -> None:
    for error in (
        SQLAlchemyFileError(text),
        UnknownStorageError(f"{text} storage has not been added"),
        StorageError(text, storage=text, key=text),
        ObjectNotFoundError(key=text),
        DeletionError({text: StorageError(text)}),
    ):
        assert str(error).isprintable()
        assert repr(error).isprintable()
        assert len(traceback.format_exception_only(error)) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_log_records_and_their_fields_are_harmless(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sqlalchemy_file")
    with Task("store", text, (text,)):
        pass
    with pytest.raises(OSError), Task("delete", text, (text,)):  # noqa: PT011
        raise OSError(text)
    counted("orphans", 1, text)
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert all(each.isprintable() for each in vars(record).values() if isinstance(each, str))


def test_a_path_of_a_row_is_escaped_where_its_storage_is_unknown() -> None:
    with pytest.raises(UnknownStorageError) as caught:
        StorageManager.get_file("a\nb/c")
    assert "a\\nb" in str(caught.value)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_commands_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"[red]{text}[/red]"
    printer = Printer(as_json=False)
    printer.show(Finding(kind="orphan", storage=text, key=text, detail=text))
    counts = {"files": 1, "bytes": 1, "pending": 0, "failed": 0}
    unknown = {"is_known": False, "oldest_pending": None, "last_sweep": None, "last_error": None}
    found = SimpleNamespace(
        storages=[SimpleNamespace(name=text, signatures=[text], **counts, **unknown)],
        columns=[SimpleNamespace(table=text, column="f", storage=text, **counts)],
        problems=[text],
        grace=3600,
        malformed=[Finding(kind="malformed", storage=text, key=text, detail=text)],
        missing_rights=[text],
    )
    show_status(found, as_json=False)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    assert out.count("[red]") == 11


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=True).show(Finding(kind="orphan", storage="main", key="".join(HOSTILE)))
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.load(io.StringIO(out))["key"] == "".join(HOSTILE)
