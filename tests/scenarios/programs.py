"""How random programs are drawn, played in a world, and asked to be more of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from sqlalchemy_file import File

from .matrix import Matrix
from .table import Column
from .world import World

EXAMPLES = os.environ.get("SQLALCHEMY_FILE_TEST_EXAMPLES")
"""Asks for so many programs instead of the usual number, and for new ones each time."""

_PHASES = (Phase.generate, Phase.shrink)
"""To make a failing program shorter takes too long where a server has to play each attempt."""


class Program(RuleBasedStateMachine):
    """A random program: its rules act in a world of its own."""

    enter_world: ClassVar[Callable[[], AbstractContextManager[World]]]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._labels = 0

    def open_world(self) -> None:
        self.world = self._stack.enter_context(type(self).enter_world())
        self._stack.enter_context(self.world.opened())

    def finish(self) -> None:
        """End what is still open; called once, if the world was opened."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.finish()
        finally:
            self._stack.close()

    def new_file(self) -> tuple[str, File]:
        self._labels += 1
        label = f"file-{self._labels}"
        return label, self.world.file(label)


def play(program: type[Program], matrix: Matrix, column: Column, examples: int) -> None:
    """Play random programs of one kind on one column of the matrix."""

    class Machine(program):  # type: ignore[misc,valid-type]
        enter_world = staticmethod(lambda: matrix.world(column))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(EXAMPLES or examples),
            stateful_step_count=40,
            deadline=None,
            derandomize=EXAMPLES is None,
            database=None,
            phases=_PHASES if column.database == "sqlite" else _PHASES[:1],
            suppress_health_check=list(HealthCheck),
        ),
    )
