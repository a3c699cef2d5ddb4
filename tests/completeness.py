"""In CI a test run must be whole: nothing skipped, no column of the scenario matrix left out.

A run that chooses its tests (by path, ``-k`` or ``-m``) answers for what it chose only.
"""

from __future__ import annotations

import os
import re

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
        faults = [f"{name} was skipped; in CI nothing may be" for name in self._skipped]
        if self._whole:
            empty = [column for column, count in self._ran.items() if count == 0]
            faults += [f"no scenario ran in the column {column!r}" for column in empty]
        return faults


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")  # pytest-xdist: its controller sees every report
    if os.environ.get("CI") == "true" and not is_worker:
        config.pluginmanager.register(Completeness(config))


def _runs_everything(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
    return not chosen and config.args_source is pytest.Config.ArgsSource.TESTPATHS


def columns_of(nodeid: str) -> set[str]:
    """Return the columns that a test's parameters name, as in ``test_x[postgresql-s3-case]``."""
    parameters = nodeid.rpartition("[")[2]
    return set(COLUMNS) & set(re.findall(r"[a-z0-9]+", parameters))
