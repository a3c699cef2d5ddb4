"""What the command prints: findings on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from sqlalchemy_file.escaping import escaped
from sqlalchemy_file.reconcile import Finding, Progress, Status
from sqlalchemy_file.reconcile.findings import Watcher

_SAID = {
    "deleted": "deleted",
    "aborted": "upload aborted",
    "named": "named again, kept",
    "failed": "not deleted",
    "waiting": "waiting for a transaction",
    "orphan": "never committed",
    "kept": "named by no row, may be kept on purpose",
    "foreign": "not ours",
    "earlier": "of before a move",
    "dangling": "missing",
    "malformed": "malformed",
    "upload": "upload never completed",
}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BAR_WIDTH = 20


class Printer:
    """Prints findings, counts them, and knows the exit code that they stand for."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._counts: Counter[str] = Counter()
        self._left = False
        self._console = Console(stderr=True)
        self._bars: Bars | None = None

    def show(self, finding: Finding) -> None:
        self._counts[finding.kind] += 1
        self._left = self._left or not finding.is_done
        if self._as_json:
            print_json(finding.as_dict())
        else:
            self._print(_line(finding))

    def _print(self, line: str) -> None:
        if self._bars is not None and sys.stdout.isatty():
            self._bars.console.print(Text(line), soft_wrap=True)  # above the bars
        else:
            click.echo(line)

    def sum_up(self) -> None:
        """Say in one line, to people only, how much was found."""
        if not self._as_json and self._console.is_terminal:
            counts = [f"{count:,} {_SAID[kind]}" for kind, count in self._counts.items()]
            click.echo(", ".join(counts) or "nothing found", err=True)

    @property
    def exit_code(self) -> int:
        return 1 if self._left else 0

    @contextmanager
    def progress(self) -> Iterator[Watcher | None]:
        """Yield what draws bars with rate and time left; None where nobody would see them."""
        if not self._console.is_terminal:
            yield None
            return
        bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,  # what is printed there may go to a file
        )
        tasks: dict[str, Any] = {}
        with bars:

            def watch(progress: Progress) -> None:
                if progress.stage not in tasks:
                    tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total)
                task = tasks[progress.stage]
                bars.update(task, completed=progress.done, total=progress.total)

            self._bars = bars
            yield watch
        self._bars = None


def _line(finding: Finding) -> str:
    size = "" if finding.size is None else f" ({size_of(finding.size)})"
    parts = (_SAID[finding.kind], f"{finding.path}{size}", finding.detail)
    return ": ".join(escaped(part) for part in parts if part)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def print_json(record: dict[str, Any]) -> None:
    click.echo(json.dumps(record, ensure_ascii=True, default=str))


def show_status(found: Status, *, as_json: bool) -> None:
    """Print how things stand: tables with bars, or one line of JSON each."""
    if as_json:
        for record in found.as_dicts():
            print_json(record)
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(_storages(found))
    if found.columns:
        console.print(_columns(found))
    console.print(f"Grace period: {age_of(found.grace)}")
    if not found.problems:
        console.print("Triggers: present and current", style="green")
    for finding in found.malformed:
        console.print(Text(_line(finding), style="red"))
    for problem in found.problems:
        console.print(Text(f"Triggers: {escaped(problem)}", style="red"))


def _storages(found: Status) -> Table:
    table = _table(
        "storage", "files>", "bytes>", "share", "pending>", "oldest>", "failed>", "swept>"
    )
    most = max((each.bytes for each in found.storages), default=0)
    for each in found.storages:
        table.add_row(
            Text(escaped(each.name) if each.is_known else f"{escaped(each.name)} (not added)"),
            f"{each.files:,}",
            size_of(each.bytes),
            _bar(each.bytes, most),
            f"{each.pending:,}",
            "" if each.oldest_pending is None else age_of(each.oldest_pending),
            Text(f"{each.failed:,}", style="red" if each.failed else ""),
            "never" if each.last_sweep is None else f"{age_of(each.last_sweep)} ago",
        )
    return table


def _columns(found: Status) -> Table:
    table = _table("column", "storage", "files>", "bytes>", "share")
    most = max((each.bytes for each in found.columns), default=0)
    for each in found.columns:
        name = Text(escaped(f"{each.table}.{each.column}"))
        table.add_row(
            name,
            Text(escaped(each.storage)),
            f"{each.files:,}",
            size_of(each.bytes),
            _bar(each.bytes, most),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        right = heading.endswith(">")
        table.add_column(heading.rstrip(">"), justify="right" if right else "left", no_wrap=True)
    return table


def _bar(part: int, most: int) -> Text:
    eighths = round(part / most * _BAR_WIDTH * 8) if most else 0
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else ""), style="cyan")


def size_of(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def age_of(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
