"""One contender in a process of its own: a line of JSON in, a line of JSON out.

``{"do": "prepare", "work": ..., "setting": {...}}`` readies one kind of work,
``{"do": "round", "number": 1}`` does it once and answers with what was measured.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from benchmarks.kit import Setting, Work

MUCH = 100_000_000
"""Bytes that would soon fill the disk."""


class Worker:
    """Answers the driver's requests."""

    def __init__(self, contender: str) -> None:
        self._module = importlib.import_module(f"benchmarks.contenders.{contender}")
        self._setting: Setting | None = None
        self._work: Work | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "versions":
            packages = {name: version(name) for name in ("SQLAlchemy", *self._module.PACKAGES)}
            return {"Python": platform.python_version(), **packages}
        if request["do"] == "prepare":
            self._setting = Setting(**request["setting"])
            self._work = getattr(self._module, request["work"])(self._setting)
            return {}
        assert self._setting is not None and self._work is not None, "not prepared"  # noqa: PT018
        this_round = self._setting.round(request["number"])
        os.sync()  # what others have left to be written to the disk is not this round's business
        self._work(this_round)
        _make_room(this_round.folder)
        return this_round.measured


def _make_room(folder: Path) -> None:
    """Remove the few large files of a round; it is many small ones that make disks slow."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > MUCH:
            path.unlink()


def main() -> None:
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        worker = Worker(sys.argv[1])
        for line in sys.stdin:
            _reply(answers, worker, json.loads(line))


def _reply(answers: TextIO, worker: Worker, request: dict[str, Any]) -> None:
    try:
        answer = worker.answer(request)
    except Exception:  # noqa: BLE001  the driver shows it
        answer = {"error": traceback.format_exc()}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
