"""Print findings to standard output, and progress to standard error if it is a terminal."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
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

from sqlalchemy_file.exceptions import escaped
from sqlalchemy_file.reconcile import Finding, Progress, Status
from sqlalchemy_file.reconcile.findings import DONE, OnProgress

_SAID = {
    "deleted": "deleted",
    "aborted": "upload aborted",
    "named": "in use again, kept",
    "failed": "not deleted",
    "waiting": "waiting for a transaction",
    "orphan": "never committed",
    "kept": "unreferenced, perhaps kept on purpose",
    "foreign": "of another program",
    "earlier": "from before the database moved",
    "dangling": "missing",
    "malformed": "malformed",
    "upload": "upload never completed",
}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BAR_WIDTH, _LEAST_NAME = 20, 12
_SHARE, _NAMES = "share", ("column", "storage")
_OF_STORAGES = ("storage", "files", "bytes", _SHARE, "pending", "oldest", "failed", "swept")
_OF_COLUMNS = ("column", "storage", "files", "bytes", _SHARE)
_Row = tuple[Text | Bar, ...]


class Printer:
    """Prints findings, counts them, and decides the exit code."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._counts: Counter[str] = Counter()
        self._console = Console(stderr=True)
        self._bars: Bars | None = None

    def show(self, finding: Finding) -> None:
        self._counts[finding.kind] += 1
        line = _json(finding.as_dict()) if self._as_json else _line(finding)
        if self._bars is not None and sys.stdout.isatty():
            self._bars.console.print(Text(line), soft_wrap=True)  # above the bars
        else:
            click.echo(line)

    def sum_up(self) -> None:
        """Print in one line how much was found, on terminals only."""
        if not self._as_json and self._console.is_terminal:
            counts = [f"{count:,} {_SAID[kind]}" for kind, count in self._counts.items()]
            click.echo(", ".join(counts) or "nothing found", err=True)

    @property
    def exit_code(self) -> int:
        return 1 if self._counts.keys() - DONE else 0

    @contextmanager
    def progress(self) -> Iterator[OnProgress | None]:
        """Yield a function that draws progress bars; None without a terminal."""
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


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=True, default=str)


def show_status(found: Status, *, as_json: bool) -> None:
    """Print the status as tables with bars, or as lines of JSON."""
    if as_json:
        for record in found.as_dicts():
            click.echo(_json(record))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    _print_table(console, _OF_STORAGES, _storages(found))
    if found.columns:
        _print_table(console, _OF_COLUMNS, _columns(found))
    for line in _signatures(found):
        console.print(Text(escaped(line)))
    console.print(f"Grace period: {age_of(found.grace)}")
    if not found.problems:
        console.print("Triggers: present and current", style="green")
    for line in _faults(found):
        console.print(Text(line, style="red"), soft_wrap=True)
    for problem in found.problems:
        console.print(Text(f"Triggers: {escaped(problem)}", style="red"))
    if found.missing_rights:
        rights = ", ".join(map(escaped, found.missing_rights))
        console.print(Text(f"Missing for drain and sweep: {rights}", style="yellow"))


def _print_table(console: Console, headings: Sequence[str], rows: Sequence[_Row]) -> None:
    """Print a table: where it is too wide, with shorter bars, then with names on several lines.

    Figures are never cut: on a very narrow terminal lines are longer than it.
    """
    widths = _widths(console.width, headings, rows)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for heading, width in zip(headings, widths, strict=True):
        justify: JustifyMethod = "left" if heading in (*_NAMES, _SHARE) else "right"
        table.add_column(heading, justify=justify, width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    needed = sum(widths) + len(widths) - 1
    if needed > console.width:
        console = Console(width=needed, soft_wrap=True)
    console.print(table)


def _widths(room: int, headings: Sequence[str], rows: Sequence[_Row]) -> list[int]:
    widths = [
        max(cell_len(heading), *(_width(row[index]) for row in rows), 1)
        for index, heading in enumerate(headings)
    ]
    excess = sum(widths) + len(widths) - 1 - room
    for name, least in ((_SHARE, len(_SHARE)), *((name, _LEAST_NAME) for name in _NAMES)):
        if excess > 0 and name in headings:
            index = headings.index(name)
            shorter = max(min(least, widths[index]), widths[index] - excess)
            excess -= widths[index] - shorter
            widths[index] = shorter
    return widths


def _width(cell: Text | Bar) -> int:
    return _BAR_WIDTH if isinstance(cell, Bar) else cell.cell_len


def _storages(found: Status) -> list[_Row]:
    most = max((each.bytes for each in found.storages), default=0)
    return [
        (
            Text(escaped(each.name) if each.is_known else f"{escaped(each.name)} (not added)"),
            Text(f"{each.files:,}"),
            Text(size_of(each.bytes)),
            Bar(most or 1, 0, each.bytes, color="cyan"),
            Text(f"{each.pending:,}"),
            Text("" if each.oldest_pending is None else age_of(each.oldest_pending)),
            Text(f"{each.failed:,}", style="red" if each.failed else ""),
            Text("never" if each.last_sweep is None else f"{age_of(each.last_sweep)} ago"),
        )
        for each in found.storages
    ]


def _faults(found: Status) -> Iterator[str]:
    for each in found.storages:
        if each.last_error:
            yield escaped(f"Failed: {each.name}: {each.last_error}")
    yield from map(_line, found.malformed)


def _signatures(found: Status) -> Iterator[str]:
    for each in found.storages:
        if each.signatures is None:
            yield f"Signed: {each.name}: unknown, the storage did not answer"
        else:
            yield from (f"Signed: {each.name}: {signature}" for signature in each.signatures)


def _columns(found: Status) -> list[_Row]:
    most = max((each.bytes for each in found.columns), default=0)
    return [
        (
            Text(escaped(f"{each.table}.{each.column}")),
            Text(escaped(each.storage)),
            Text(f"{each.files:,}"),
            Text(size_of(each.bytes)),
            Bar(most or 1, 0, each.bytes, color="cyan"),
        )
        for each in found.columns
    ]


def size_of(count: float) -> str:
    power = 0
    while count >= 1000 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    unit = _UNITS[power]
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def age_of(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
