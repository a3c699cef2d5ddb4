"""The command: its output, exit codes, signals, and what it says of bad input."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from sqlalchemy_file import cli
from sqlalchemy_file.cli import commands
from sqlalchemy_file.cli.output import Printer, show_status
from sqlalchemy_file.reconcile import Finding, Progress, Status, StorageStatus
from sqlalchemy_file.reconcile.references import Named

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


def strings():
    return "sqlite://", "note"
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
    ("change", "said"),
    [
        (
            "ALTER TABLE note RENAME TO letter",
            "note: it is in the metadata, but not in the database",
        ),
        ("ALTER TABLE note RENAME COLUMN body TO text", "the column 'body' is in the metadata"),
    ],
)
def test_the_status_says_what_a_migration_has_yet_to_make(
    run: Run, folder: Path, change: str, said: str
) -> None:
    sql(folder, change)
    code, out, err = run("status")
    assert (code, err) == (1, "")
    assert said in out
    assert "the file columns: not counted" in out


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("notes_app", "--app is module:callable"),
        ("nowhere:setup", "cannot import nowhere"),
        ("notes_app:missing", "notes_app has no 'missing'"),
        ("notes_app:number", "is not callable"),
        ("notes_app:broken", "raised RuntimeError: no settings"),
        ("notes_app:nothing", "not NoneType"),
        ("notes_app:strings", "not (str, str)"),
    ],
)
def test_a_wrong_app_is_an_error_that_says_what_to_give(run: Run, app: str, said: str) -> None:
    code, out, err = run("drain", app=app)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_the_app_is_found_in_the_current_folder(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    del sys.modules["notes_app"]
    assert run("drain")[0] == 0


def test_a_database_without_the_ledger_is_an_error(run: Run, folder: Path) -> None:
    sql(folder, "DROP TABLE sqlalchemy_file_state")
    code, out, err = run("sweep", "--delete")
    assert (code, out) == (2, "")
    assert "no table 'sqlalchemy_file_state'" in err


@pytest.mark.parametrize("command", [("sweep",), ("sweep", "--full"), ("sweep", "--delete")])
def test_a_missing_table_is_named(run: Run, folder: Path, command: tuple[str, ...]) -> None:
    sql(folder, "DROP TABLE note")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "note" in err
    assert "create_all() of the metadata, or a migration" in err


def test_a_full_report_needs_no_ledger(run: Run, folder: Path) -> None:
    program = folder / "notes_app.py"
    program.write_text(program.read_text().replace("Ledger(Base.metadata)\n", ""))
    sys.modules.pop("notes_app")
    min((folder / "files").iterdir()).unlink()
    code, out, _ = run("sweep", "--full")
    assert code == 1
    assert out.startswith("missing: files/")
    for options in ([], ["--full", "--delete"]):
        code, out, err = run("sweep", *options)
        assert (code, out) == (2, "")
        assert "the metadata has no ledger" in err


def test_wrong_options_are_errors(run: Run) -> None:
    for options in (["--grace", "-1"], ["--restart"], ["--storage", "nowhere"], ["--grace", "5"]):
        code, out, err = run("sweep", *options)
        assert (code, out) == (2, "")
        assert "Error" in err


def test_sizes_and_ages_are_short() -> None:
    from sqlalchemy_file.cli.output import age_of, size_of

    assert [size_of(n) for n in (0, 999, 1500, 123_456, 5 * 10**9, 2 * 10**18)] == [
        "0 B", "999 B", "1.5 kB", "123 kB", "5.0 GB", "2000 PB",
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_goes_on_until_a_signal_ends_it(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    passes = []

    def stop(findings: object, _: object) -> None:
        passes.append(findings)
        if len(passes) == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(commands, "_POLL", 0.01)
    monkeypatch.setattr(commands, "_show", stop)
    code, _, err = run("drain", "--watch")
    assert (code, len(passes), err) == (0, 3, "stopped\n")


def test_watching_goes_on_when_the_database_is_back(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showing = commands._show
    passes = []

    def show(printer: Printer, findings_of: object) -> None:
        passes.append(findings_of)
        if len(passes) == 4:
            sql(folder, "DELETE FROM note")
        if len(passes) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        if 1 < len(passes) < 4:
            raise OperationalError("SELECT 1", {}, ConnectionResetError("server closed"))
        showing(printer, findings_of)

    monkeypatch.setattr(commands, "_POLL", 0.01)
    monkeypatch.setattr(commands, "_show", show)
    code, out, err = run("drain", "--watch")
    assert code == 0
    assert out.count("deleted: files/") == 5
    assert err.count("Error: the database: server closed; it will be tried again\n") == 2


def test_an_error_of_our_own_is_no_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("must not happen")

    monkeypatch.setattr(commands.reconcile, "status", broken)
    code, _, err = run("status")
    assert code == 2
    assert "must not happen" in err


def test_status_says_why_a_deletion_failed(run: Run, folder: Path) -> None:
    sql(folder, "INSERT INTO sqlalchemy_file_release (path, storage) VALUES ('files/x', 'files')")
    _, drained, _ = run("drain")
    code, out, _ = run("status")
    assert code == 1
    assert f"Failed: files: {drained.strip().removeprefix('of another program: files/x: ')}" in out


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_figures_are_whole_at_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    counts = {"files": 123_456_789, "pending": 98_765_432, "failed": 1_234_567}
    storage = StorageStatus(
        name="a-storage-with-a-rather-long-name-of-its-own",
        is_known=True,
        bytes=123 * 10**9,
        oldest_pending=7200,
        last_error=None,
        last_sweep=300,
        **counts,
    )
    column = Named("a_table_with_a_long_name", "a_column", storage.name, 123_456_789, 123 * 10**9)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    show_status(Status([storage], [column], [], 3600), as_json=False)
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    whole = ["123,456,789", "123 GB", "98,765,432", "2 h", "1,234,567", "5 min ago", "█"]
    assert [each for each in whole if each not in said] == []
    assert "…" not in said
    assert width < 80 or max(map(len, said.splitlines())) <= width


def test_json_is_printed_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    printer = Printer(as_json=True)
    printed = io.StringIO()
    printer._console = Console(file=printed, force_terminal=True, width=40)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    found = Finding(kind="deleted", storage="files", key="k" * 50)
    with printer.progress() as watcher:
        assert watcher
        watcher(Progress("drain", 1, 2))
        watcher(Progress("drain", 2, 2))
        printer.show(found)
    assert json.dumps(found.as_dict()) in printed.getvalue()


@pytest.mark.parametrize(
    ("kinds", "said"),
    [(["deleted", "deleted", "orphan"], "2 deleted, 1 never committed\n"), ([], "nothing found\n")],
)
def test_people_get_a_sum_in_the_end(
    capsys: pytest.CaptureFixture[str], kinds: list[str], said: str
) -> None:
    printer = Printer(as_json=False)
    printer._console = Console(file=io.StringIO(), force_terminal=True)
    for kind in kinds:
        printer.show(Finding(kind=kind, storage="files", key="k"))
    printer.sum_up()
    assert capsys.readouterr().err == said


def test_output_that_nobody_reads_ends_the_command(folder: Path) -> None:
    sql(folder, "DELETE FROM note")
    reader, writer = os.pipe()
    os.close(reader)
    command = ["drain", "--app", "notes_app:setup"]
    done = subprocess.run(
        [sys.executable, "-m", "sqlalchemy_file.cli", *command],
        cwd=folder,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, b"")


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


def test_another_module_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sqlalchemy_file.cli.commands")
    monkeypatch.delattr(cli, "commands")
    monkeypatch.setitem(sys.modules, "sqlalchemy_file.cli.output", None)
    with pytest.raises(ModuleNotFoundError, match="output"):
        cli.main()


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


def test_a_database_that_is_gone_is_forgotten(run: Run, folder: Path) -> None:
    import notes_app

    from sqlalchemy_file import StorageManager

    notes_app.fill_other()
    StorageManager.clear()
    _, out, _ = run("status")
    signatures = re.findall(r"Signed: files: ([0-9a-f-]{45}) \((.*)\)", out)
    (gone,) = (each for each, name in signatures if name.endswith("others.db"))
    (own,) = (each for each, name in signatures if name.endswith("notes.db"))
    code, _, err = run("forget", "files", gone)
    assert (code, "still exists" in err) == (2, True)
    (folder / "others.db").unlink()
    for signature, said in ((own, "is not gone"), (gone[:36], "has no signature")):
        code, _, err = run("forget", "files", signature)
        assert (code, said in err) == (2, True)
    _, _, err = run("sweep", "--delete")
    assert f"`forget files {gone}`" in err
    code, out, err = run("forget", "files", gone)
    assert (code, out, err) == (0, f"forgotten: files: {gone}\n", "")
    assert run("sweep", "--delete")[0] == 0


def test_status_shows_missing_rights_and_a_storage_that_could_not_be_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = StorageStatus(
        name="media",
        is_known=True,
        files=0,
        bytes=0,
        pending=0,
        oldest_pending=None,
        failed=0,
        last_error=None,
        last_sweep=None,
        signatures=None,
    )
    missing = ["INSERT on sqlalchemy_file_release"]
    show_status(Status([storage], [], [], 3600, missing_rights=missing), as_json=False)
    said = capsys.readouterr().out
    assert "media: unknown, the storage did not answer" in said
    assert "INSERT on sqlalchemy_file_release" in said
