"""Every scenario, on every column of the matrix that it runs on."""

from __future__ import annotations

import pytest

from .matrix import Matrix
from .table import Column, Scenario, cells


@pytest.mark.parametrize(
    ("scenario", "column"),
    [pytest.param(scenario, column, id=f"{scenario}[{column}]") for scenario, column in cells()],
)
def test_scenario(scenario: Scenario, column: Column, matrix: Matrix) -> None:
    with matrix.world(column) as world:
        world.run(scenario.run)
