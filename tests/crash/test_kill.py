"""Writers, drains and sweeps that are killed: no committed row dangles, and nothing is left over.

``SQLALCHEMY_FILE_TEST_KILLS`` asks for so many random kills instead of the usual number, with
new seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import SystemRandom

import pytest
from sqlalchemy import text

from .conftest import SCENES
from .scene import Scene, moments
from .steps import STEPS

OpenScene = Callable[[str], AbstractContextManager[Scene]]

KILLS_ASKED = os.environ.get("SQLALCHEMY_FILE_TEST_KILLS")
ROUND = 20
"""How many kills one test makes, on one and the same database."""
ROUNDS = {"sqlite local": 6, "postgresql local": 5, "mariadb local": 5, "sqlite-async local": 3}
ROUNDS |= {"postgresql-async local": 3, "sqlite s3": 2, "postgresql s3": 2, "mariadb s3": 2}
SCALE = int(KILLS_ASKED) / (ROUND * sum(ROUNDS.values())) if KILLS_ASKED else 1


def rounds() -> list[tuple[str, int]]:
    """Return scenes and seeds, so that all scenes come early."""
    counts = {scene: max(1, round(number * SCALE)) for scene, number in ROUNDS.items()}
    return [
        (scene, number)
        for number in range(max(counts.values()))
        for scene in SCENES
        if number < counts[scene]
    ]


@pytest.mark.parametrize(("scene", "number"), rounds())
def test_writers_killed_at_random(open_scene: OpenScene, scene: str, number: int) -> None:
    seed = SystemRandom().randrange(1 << 30) if KILLS_ASKED else number
    with open_scene(scene) as here:
        for writer, moment in moments(seed, ROUND, longest=0.4):
            here.kill_after(moment, "write", seed=writer)
            here.nothing_dangles()
            here.nothing_is_left_over()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_writer_killed_at_each_step(open_scene: OpenScene, scene: str, step: str) -> None:
    with open_scene(scene) as here:
        for times in (1, 2, 5):
            assert here.die_at(step, times, "write", seed=times, large="s3" in scene)
            here.nothing_dangles()
            here.nothing_is_left_over()


@pytest.mark.parametrize("step", ["between two deletions", "after the deletions"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_drain_killed_at_each_step(open_scene: OpenScene, scene: str, step: str) -> None:
    with open_scene(scene) as here:
        seeds = iter(range(20))
        while len(here.named()) < 3:
            assert here.die_at("after a commit", 10, "write", seed=next(seeds))
        with here.engine.begin() as connection:  # as another program would
            connection.execute(text("DELETE FROM crash_page"))
        assert here.die_at(step, 1, "drain")
        here.nothing_dangles()
        here.nothing_is_left_over()


@pytest.mark.parametrize("step", ["between two deletions", "after the deletions"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_sweep_killed_at_each_step(open_scene: OpenScene, scene: str, step: str) -> None:
    with open_scene(scene) as here:
        for seed in range(5):
            here.die_at("before a commit", 1, "write", seed=seed)
        assert here.die_at(step, 1, "sweep")
        here.nothing_dangles()
        here.nothing_is_left_over()
