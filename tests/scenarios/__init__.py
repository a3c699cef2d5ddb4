"""The promise, as one table of scenarios that runs over every database and every storage.

Each scenario is a small function that gets a `World` (one database, one storage) and does what a
program might do; afterwards the world is checked: the storage holds exactly the objects that
committed rows name, each with its bytes, and nothing else. A new scenario is one decorated
function in the module of its group.
"""

import pytest

GROUPS = (
    "basics",
    "end_of_transaction",
    "savepoints",
    "joined_sessions",
    "lists",
    "sharing_and_moving",
    "bulk",
    "failures",
    "again",
    "mapping",
    "concurrency",
    "bad_input",
)

HARNESS = (
    "content",
    "databases",
    "flaky",
    "matrix",
    "meeting",
    "models",
    "places",
    "programs",
    "proxy",
    "s3",
    "table",
    "world",
)

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in (*GROUPS, *HARNESS)))
