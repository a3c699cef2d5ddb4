"""The command: its output, exit codes, signals, and what it says of bad input."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlalchemy_file import cli
from sqlalchemy_file.cli import commands

APP = """
import time
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage import LocalStorage

HERE = Path(__file__).parent


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


Ledger(Base.metadata)


class Folder(LocalStorage):
    def delete(self, keys):
        if (HERE / "slow").exists():
            (HERE / "begun").touch()
            time.sleep(60)
        super().delete(keys)

    def list(self, prefix="", start_after=None):
        if (HERE / "slow").exists():
            (HERE / "begun").touch()
            time.sleep(60)
        return super().list(prefix, start_after)


def setup():
    StorageManager.add_storage("files", Folder(HERE / "files"))
    return create_engine(f"sqlite:///{HERE}/notes.db"), Base


def fill(count=5):
    engine, base = setup()
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Note(body=File(b"body")) for _ in range(count)])
        session.commit()
    engine.dispose()


def setup_both():
    engine, base = setup()
    other = create_engine(f"sqlite:///{HERE}/others.db")
    base.metadata.create_all(other)
    return [(engine, base), (other, base)]


def fill_other():
    _, (engine, _) = setup_both()
    with Session(engine) as session:
        session.add_all([Note(id=number, body=File(b"other")) for number in (1, 2)])
        session.commit()


number = 3


def broken():
    raise RuntimeError("no settings")


def nothing():
    return None
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program and five files, stored by it; the current one."""
    (tmp_path / "notes_app.py").write_text(APP)
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("notes_app", None)
    import notes_app

    notes_app.fill()
    from sqlalchemy_file import StorageManager

    StorageManager.clear()
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, app: str = "notes_app:setup") -> tuple[int, str, str]:
        from sqlalchemy_file import StorageManager

        StorageManager.clear()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.setattr(sys, "argv", ["sqlalchemy-file", *arguments, "--app", app])
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_a_drain_prints_what_it_deletes_and_exits_with_0(run: Run, folder: Path) -> None:
    sql(folder, "DELETE FROM note WHERE id < 3")
    code, out, err = run("drain")
    assert code == 0
    assert out.count("deleted: files/") == 2
    assert err == ""  # no terminal, no progress
    assert len(list((folder / "files").iterdir())) == 3


def test_json_is_one_finding_a_line(run: Run, folder: Path) -> None:
    sql(folder, "DELETE FROM note WHERE id < 3")
    code, out, _ = run("drain", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {each["kind"] for each in found} == {"deleted"}
    assert all(each["path"] == f"files/{each['key']}" for each in found)


def test_what_is_left_to_look_at_makes_the_exit_code_1(run: Run, folder: Path) -> None:
    for file in sorted((folder / "files").iterdir())[:2]:
        file.unlink()
    code, out, _ = run("sweep", "--full")
    assert code == 1
    assert out.startswith("missing: files/")
    code, out, _ = run("sweep")
    assert (code, out) == (0, "")


def test_a_sweep_deletes_only_on_demand(run: Run, folder: Path) -> None:
    lost = folder / "files" / "018f0000-0000-7000-8000-000000000000"
    lost.write_bytes(b"lost")
    os.utime(lost, (1, 1))
    code, out, _ = run("sweep")
    assert (code, out) == (1, f"never committed: files/{lost.name} (4 B)\n")
    assert lost.exists()
    code, out, _ = run("sweep", "--delete", "--json")
    assert code == 0
    assert json.loads(out)["kind"] == "deleted"
    assert not lost.exists()


def test_the_status_shows_storages_columns_and_triggers(run: Run, folder: Path) -> None:
    sql(folder, "DELETE FROM note WHERE id < 3")
    code, out, err = run("status")
    assert (code, err) == (0, "")
    assert "files" in out
    assert "note.body" in out
    assert "█" in out
    assert "Triggers: present and current" in out
    code, out, _ = run("status", "--json")
    storage, column = [json.loads(line) for line in out.splitlines()]
    assert (storage["kind"], storage["files"], storage["bytes"]) == ("storage", 3, 12)
    assert (storage["pending"], storage["failed"], storage["last_sweep"]) == (2, 0, None)
    assert (column["table"], column["column"], column["files"]) == ("note", "body", 3)


def test_the_status_says_which_triggers_are_missing_and_a_drain_refuses(
    run: Run, folder: Path
) -> None:
    sql(folder, "DELETE FROM note WHERE id < 3")
    sql(folder, f"DROP TRIGGER {triggers(folder)[0]}")
    code, out, _ = run("status")
    assert code == 1
    assert "Triggers: main.note: the trigger" in out
    code, out, err = run("drain")
    assert (code, out) == (2, "")
    assert "Error: the ledger is not in order: main.note: the trigger" in err


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("notes_app", "--app is module:callable"),
        ("nowhere:setup", "cannot import nowhere"),
        ("notes_app:missing", "notes_app has no 'missing'"),
        ("notes_app:number", "is not callable"),
        ("notes_app:broken", "raised RuntimeError: no settings"),
        ("notes_app:nothing", "not NoneType"),
    ],
)
def test_a_wrong_app_is_an_error_that_says_what_to_give(run: Run, app: str, said: str) -> None:
    code, out, err = run("drain", app=app)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_a_database_without_the_ledger_is_an_error(run: Run, folder: Path) -> None:
    sql(folder, "DROP TABLE sqlalchemy_file_state")
    code, out, err = run("sweep", "--delete")
    assert (code, out) == (2, "")
    assert "no table 'sqlalchemy_file_state'" in err


def test_wrong_options_are_errors(run: Run) -> None:
    for options in (["--grace", "-1"], ["--restart"], ["--storage", "nowhere"], ["--grace", "5"]):
        code, out, err = run("sweep", *options)
        assert (code, out) == (2, "")
        assert "Error" in err


def test_sizes_and_ages_are_short() -> None:
    from sqlalchemy_file.cli.output import age_of, size_of

    assert [size_of(n) for n in (0, 999, 1500, 123_456, 5 * 10**9)] == [
        "0 B", "999 B", "1.5 kB", "123 kB", "5.0 GB",
    ]  # fmt: skip
    assert [age_of(n) for n in (1, 119, 150, 3600, 86400, 3 * 86400)] == [
        "1 s", "119 s", "2 min", "1 h", "24 h", "3 d",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["drain"], ["sweep", "--full", "--delete"]])
def test_an_interrupted_command_can_be_run_again(
    run: Run, folder: Path, number: signal.Signals, command: list[str]
) -> None:
    sql(folder, "DELETE FROM note")
    (folder / "slow").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "sqlalchemy_file.cli", *command, "--app", "notes_app:setup"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == "interrupted; run it again to go on\n"
    (folder / "slow").unlink()
    assert run(*command)[0] == 0
    if command == ["drain"]:
        assert list((folder / "files").iterdir()) == []


def test_watching_goes_on_until_it_is_interrupted(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    def stop(findings: object, _: object) -> None:
        passes.append(findings)
        if len(passes) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(commands, "_POLL", 0.01)
    monkeypatch.setattr(commands, "_show", stop)
    code, _, err = run("drain", "--watch")
    assert (code, len(passes)) == (143, 3)
    assert "interrupted" in err


def test_without_the_extra_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "sqlalchemy_file.cli.commands")
    monkeypatch.delattr(cli, "commands")
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "pip install 'sqlalchemy-file[cli]'" in capsys.readouterr().err


def sql(folder: Path, statement: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(folder / "notes.db")
    try:
        found = connection.execute(statement).fetchall()
        connection.commit()
    finally:
        connection.close()
    return found


def triggers(folder: Path) -> list[str]:
    return [row[0] for row in sql(folder, "SELECT name FROM sqlite_master WHERE type = 'trigger'")]


def test_several_ledgers_of_one_storage_are_kept_together(run: Run, folder: Path) -> None:
    import notes_app

    from sqlalchemy_file import StorageManager

    notes_app.fill_other()
    StorageManager.clear()
    code, _, err = run("sweep", "--delete")
    assert code == 2
    assert "also holds the objects of" in err
    assert "others.db" in err
    code, _, err = run("sweep", "--delete", "--full", app="notes_app:setup_both")
    assert (code, err) == (0, "")
    sql(folder, "DELETE FROM note WHERE id < 3")
    code, out, _ = run("drain", app="notes_app:setup_both")
    assert (code, out.count("deleted: files/")) == (0, 2)
    code, out, _ = run("status", app="notes_app:setup_both")
    assert code == 0
    assert len(list((folder / "files").iterdir())) == 5
