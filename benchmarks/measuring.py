"""Carries out a case: contenders in processes of their own, in turn, round after round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.cases import Case, Entry

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = Path(__file__).parent / ".venvs"
FAR_OFF = 1.5
"""A round is void in which the floor took so many times its median, or less than that part."""

Measured = dict[str, float]


class ContenderError(Exception):
    """A contender's process failed at what it was asked for."""


@dataclass
class Outcome:
    """What was measured in one case: for each contender its rounds, in the same order."""

    case: str
    files: dict[str, int]
    rounds: dict[str, list[Measured]] = field(default_factory=dict)
    void: int = 0
    day: str = ""
    """When it was measured."""

    def typical(self, contender: str, measure: str) -> float:
        """Return the median of a measure; seconds are for each file."""
        values = [self._each(contender, this, measure) for this in self.rounds[contender]]
        return median(values)

    def times_as_fast(self, contender: str, other: str) -> float:
        """Return the median over the rounds of how many times as fast it was as another."""
        pairs = zip(self.rounds[contender], self.rounds[other], strict=True)
        return median(
            self._each(other, theirs, "seconds") / self._each(contender, mine, "seconds")
            for mine, theirs in pairs
        )

    def _each(self, contender: str, this: Measured, measure: str) -> float:
        return this[measure] / (self.files[contender] if measure == "seconds" else 1)


class Contender:
    """A process that does one kind of work, over and over."""

    def __init__(self, module: str, python: Path) -> None:
        self._name = module
        # What this process finds on a path of its own is not for other environments.
        foreign = {} if python == Path(sys.executable) else {"PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.worker", module],
            cwd=ROOT,
            env={**os.environ, **foreign},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.__exit__(None, None, None)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process has ended"}
        if "error" in answer:
            raise ContenderError(f"{self._name} failed at {request}:\n{answer['error']}")
        return answer


def python_of(module: str) -> Path:
    """Return the interpreter of the environment that a contender lives in."""
    own = ENVIRONMENTS / module / "bin" / "python"
    if module in {"ours", "floor"}:
        return Path(sys.executable)
    if not own.exists():
        raise ContenderError(f"{module} has no environment yet: run `make bench`, which makes them")
    return own


def versions(modules: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return for each contender what it runs on."""
    found = {}
    for name, module in modules.items():
        with Contender(module, python_of(module)) as contender:
            found[name] = contender.ask(do="versions")
    return found


def measure(
    case: Case, folder: Path, facts: Mapping[str, Any], rounds: int, part: int = 1
) -> Outcome:
    """Let all contenders of a case do their work in turn.

    ``facts`` is what the driver alone knows: addresses, photos. ``part`` divides the work, for a
    quick look.
    """
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {}
        files = {}
        for name, entry in case.entries.items():
            setting = _setting(case, entry, folder / case.name / name, facts, rounds, part)
            files[name] = setting["n"]
            contenders[name] = stack.enter_context(Contender(entry.module, python_of(entry.module)))
            contenders[name].ask(do="prepare", work=case.work, setting=setting)
            contenders[name].ask(do="round", number=0)
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        outcome = Outcome(case.name, files, {name: [] for name in contenders}, day=today)
        _take_turns(outcome, contenders, rounds, repeats=case.repeats)
    return outcome


def _setting(
    case: Case, entry: Entry, folder: Path, facts: Mapping[str, Any], rounds: int, part: int
) -> dict[str, Any]:
    folder.mkdir(parents=True)
    size = case.size // part if case.n == 1 else case.size
    options = {**case.options, **facts, **entry.options}
    if "large" in options:
        options["large"] //= part
    return {
        "folder": os.fspath(folder),
        "n": max(case.n // entry.share // part, 1),
        "size": size,
        "rounds": rounds,
        "options": options,
    }


def _take_turns(
    outcome: Outcome, contenders: Mapping[str, Contender], rounds: int, *, repeats: bool
) -> None:
    names = list(contenders)
    number = 0
    while number < rounds or (repeats and _drop_void(outcome, rounds) and number < 2 * rounds):
        number += 1
        first = number % len(names)
        for name in names[first:] + names[:first]:
            measured = contenders[name].ask(do="round", number=number)
            outcome.rounds[name].append(measured)


def _drop_void(outcome: Outcome, rounds: int) -> bool:
    """Forget the rounds in which the floor was far off; say whether some are missing now."""
    if "floor" in outcome.rounds:
        floor = [this["seconds"] for this in outcome.rounds["floor"]]
        middle = median(floor)
        good = [middle / FAR_OFF < seconds < middle * FAR_OFF for seconds in floor]
        outcome.void += good.count(False)
        for name, all_rounds in outcome.rounds.items():
            outcome.rounds[name] = [
                this for this, kept in zip(all_rounds, good, strict=True) if kept
            ]
    return len(next(iter(outcome.rounds.values()))) < rounds
