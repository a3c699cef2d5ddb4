"""In CI a test run must be whole: nothing skipped, no column of the scenario matrix left out.

A run that chooses its tests (by path, ``-k`` or ``-m``) answers for what it chose only. Elsewhere
one line for each reason says how many tests were skipped.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

import pytest

SCENARIOS = "tests/scenarios/"
COLUMNS = ("sqlite", "postgresql", "mariadb", "local", "memory", "s3")


class Completeness:
    """Counts what was skipped, and the scenarios that ran in each column of the matrix."""

    def __init__(self, config: pytest.Config) -> None:
        self._whole = _runs_everything(config)
        self._skipped: list[str] = []
        self._ran = dict.fromkeys(COLUMNS, 0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped.append(report.nodeid)
        if report.when == "call" and not report.skipped and report.nodeid.startswith(SCENARIOS):
            for column in columns_of(report.nodeid):
                self._ran[column] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skipped.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._faults() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for fault in self._faults():
            terminalreporter.write_line(f"INCOMPLETE: {fault}", red=True)

    def _faults(self) -> list[str]:
        folders = Counter(name.partition("::")[0].rpartition("/")[0] for name in self._skipped)
        faults = [
            f"{count} skipped in {folder}; in CI nothing may be"
            for folder, count in folders.most_common()
        ]
        if self._whole:
            empty = [column for column, count in self._ran.items() if count == 0]
            faults += [f"no scenario ran in the column {column!r}" for column in empty]
        return faults


class Skips:
    """Counts skipped tests by their reason, where pytest would list each place."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.lines():
            terminalreporter.write_line(line, yellow=True)

    def lines(self) -> list[str]:
        """Return one line for each reason, the most frequent first."""
        return [f"SKIPPED [{count}] {reason}" for reason, count in self._reasons.most_common()]

    def _count(self, report: Any) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            _path, _line, reason = report.longrepr
            self._reasons[reason.removeprefix("Skipped: ")] += 1


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # pytest-xdist: its controller sees every report
    config.pluginmanager.register(Skips())
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(Completeness(config))


def _runs_everything(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
    return not chosen and config.args_source is pytest.Config.ArgsSource.TESTPATHS


def columns_of(nodeid: str) -> set[str]:
    """Return the columns that a test's parameters name, as in ``test_x[postgresql-s3-case]``."""
    parameters = nodeid.rpartition("[")[2]
    return set(COLUMNS) & set(re.findall(r"[a-z0-9]+", parameters))
