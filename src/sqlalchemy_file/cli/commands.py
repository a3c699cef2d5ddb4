"""The commands `status`, `drain`, `sweep` and `forget`."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click
from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_file import reconcile
from sqlalchemy_file.cli.output import Printer, show_status
from sqlalchemy_file.exceptions import SQLAlchemyFileError, StorageError, escaped
from sqlalchemy_file.reconcile.findings import Finding, OnProgress

App = tuple[Engine, MetaData]
_SHAPE = "module:callable, such as myapp.files:setup"
_wrong = click.ClickException


def load(app: str) -> list[App]:
    """Call ``module:callable`` and return each engine with the metadata that it returns.

    That may be one pair, or a list of pairs: several ledgers that write to the same storages.
    Modules are looked for in the current folder too. Raises `click.ClickException` for anything
    else, also for an `AsyncEngine`.
    """
    function = _function(app)
    try:
        returned = function()
    except Exception as error:
        raise _wrong(f"{app} raised {type(error).__name__}: {error}") from error
    pairs = returned if isinstance(returned, list) and returned else [returned]
    return [_pair(app, each) for each in pairs]


def _function(app: str) -> Any:
    module_name, colon, path = app.partition(":")
    if not (module_name and colon and path):
        raise _wrong(f"--app is {_SHAPE}, not {app!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise _wrong(f"--app: cannot import {module_name}: {error}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise _wrong(f"--app: {module_name} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise _wrong(f"--app: {app} is not callable; it is to be {_SHAPE}")
    return found


def _pair(app: str, returned: Any) -> App:
    if isinstance(returned, tuple) and len(returned) == 2:
        engine, metadata = returned
        metadata = getattr(metadata, "metadata", metadata)
        if isinstance(engine, Engine) and isinstance(metadata, MetaData):
            return engine, metadata
    kind = type(returned).__name__
    shown = f"({', '.join(type(e).__name__ for e in returned)})" if kind == "tuple" else kind
    raise _wrong(
        f"--app: {app} is to return an Engine (not an AsyncEngine) and a MetaData, or a "
        f"declarative base, or a list of such pairs, not {shown}"
    )


_POLL, _LONGEST_POLL = 2.0, 60.0  # seconds between looks at the ledger, with --watch
_FindingsOf = Callable[[OnProgress | None], Iterator[Finding]]

_EPILOG = "Exit codes: 0 clean, 1 findings need attention, 2 could not run."


class _Interrupted(BaseException):
    """A signal arrived: leases are returned on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


class _UnreadError(Exception):
    """The reader of the output has gone."""


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would exit with 1, which means findings
            raise _UnreadError from error


def run() -> None:
    """Run the command, and exit with its code; 128 and the signal's number where one came."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # Failures are printed as findings; the program of --app may configure the log.
    logging.getLogger("sqlalchemy_file").addHandler(logging.NullHandler())
    try:
        code = group.main(standalone_mode=False)
    except _Interrupted as interrupted:
        click.echo("interrupted; run it again to go on", err=True)
        code = 128 + interrupted.number
    except click.ClickException as error:
        error.show()
        code = 2
    except (SQLAlchemyFileError, SQLAlchemyError) as error:
        click.echo(f"Error: {_message(error)}", err=True)
        code = 2
    except _UnreadError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # which Python flushes at its exit
            os.dup2(nowhere, stream.fileno())
        code = 2
    except Exception:  # noqa: BLE001
        traceback.print_exc()  # Python itself would exit with 1, which means findings
        code = 2
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interrupted(number)


def _message(error: Exception) -> str:
    # The text of the statement does not help those who run a command.
    original = getattr(error, "orig", None)
    if original is None:
        return str(error)
    # Some databases point to the place by a line of its own.
    return "\n".join(map(escaped, f"the database: {original}".splitlines()))


_app_option = click.option(
    "--app",
    required=True,
    envvar="SQLALCHEMY_FILE_APP",
    show_envvar=True,
    metavar="MODULE:CALLABLE",
    help="A function that adds the storages and returns (engine, MetaData or base), or a list.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="One finding a line, as JSON.")


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqlalchemy-file")
def group() -> None:
    """Find and delete objects that no row refers to."""


@group.command(epilog=_EPILOG)
@_app_option
@_json_option
def status(app: str, as_json: bool) -> int:
    """Show files, pending deletions, the last sweep and the triggers."""
    all_found = [reconcile.status(*each) for each in load(app)]
    for found in all_found:
        show_status(found, as_json=as_json)
    return 0 if all(found.is_clean for found in all_found) else 1


@group.command(epilog=_EPILOG)
@_app_option
@_json_option
@click.option("--watch", is_flag=True, help="Continue until interrupted.")
def drain(app: str, as_json: bool, watch: bool) -> int:
    """Delete the objects that the ledger has recorded as unreferenced."""
    apps = load(app)
    printer = Printer(as_json=as_json)
    _show(printer, lambda watcher: _drained(apps, watcher))
    if watch:
        _watch(printer, lambda watcher: _drained(apps))
        return 0
    printer.sum_up()
    return printer.exit_code


@group.command(epilog=_EPILOG)
@_app_option
@_json_option
@click.option("--delete", is_flag=True, help="Delete the orphans.")
@click.option("--full", is_flag=True, help="Compare all rows with all objects, in both directions.")
@click.option("--restart", is_flag=True, help="With --full: do not continue an interrupted pass.")
@click.option("--storage", "storages", multiple=True, help="Only this storage; may be repeated.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Leave younger objects alone: at least the database's grace period, or 0 for none.",
)
@click.option("--adopt", is_flag=True, help="This database, a copy, replaces its original.")
def sweep(app: str, as_json: bool, full: bool, restart: bool, **options: Any) -> int:
    """Find objects that were stored since the last sweep and never committed."""
    if restart and not full:
        raise click.UsageError("--restart is for --full")
    (engine, metadata), *others = load(app)
    options |= {"storages": options["storages"] or None, "others": others}
    search: Any = partial(reconcile.compare, restart=restart) if full else reconcile.sweep
    printer = Printer(as_json=as_json)
    _show(printer, lambda watcher: search(engine, metadata, watcher=watcher, **options))
    printer.sum_up()
    return printer.exit_code


@group.command(epilog=_EPILOG)
@_app_option
@click.argument("storage")
@click.argument("signature")
def forget(app: str, storage: str, signature: str) -> int:
    """Remove the signature of a database that is gone from a storage.

    SIGNATURE is a ledger and its epoch, as `status` and the error of a sweep show them. Nobody
    owns the objects of that epoch afterwards, and a sweep may delete them.
    """
    (engine, metadata), *others = load(app)
    reconcile.forget(engine, metadata, storage, signature, others=others)
    click.echo(f"forgotten: {escaped(storage)}: {escaped(signature)}")
    return 0


def _drained(apps: Sequence[App], watcher: OnProgress | None = None) -> Iterator[Finding]:
    """Drain each ledger; objects that rows of the others refer to stay."""
    for each in apps:
        others = [other for other in apps if other is not each]
        yield from reconcile.drain(*each, others=others, watcher=watcher)


def _watch(printer: Printer, findings_of: _FindingsOf) -> None:
    """Continue until a signal; try again while the database is down."""
    failures = 0
    try:
        while True:
            threading.Event().wait(min(_POLL * 2**failures, _LONGEST_POLL))
            try:
                _show(printer, findings_of)
                failures = 0
            except (DBAPIError, StorageError) as error:
                failures = min(failures + 1, 10)
                click.echo(f"Error: {_message(error)}; it will be tried again", err=True)
    except _Interrupted:
        click.echo("stopped", err=True)


def _show(printer: Printer, findings_of: _FindingsOf) -> None:
    with printer.progress() as watcher, closing(findings_of(watcher)) as findings:  # type: ignore[type-var]
        for finding in findings:
            printer.show(finding)
