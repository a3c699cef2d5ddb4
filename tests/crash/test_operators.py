"""Programs and operators in random schedules: moves, copies, drains, sweeps, errors, restores.

After each step no committed row names an object that a step has deleted; in the end the bucket
holds what rows name, and nothing else. ``SQLALCHEMY_FILE_TEST_SCHEDULES`` asks for so many
schedules instead of the usual number, with new seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url

from sqlalchemy_file.reconcile import Finding, ages, compare, context, drain, sweep

from . import town_steps
from .operators import (
    FORGIVEN,
    GRACE,
    Base,
    Buckets,
    Interruptions,
    Program,
    empty,
    ledger,
    open_buckets,
)

ASKED = os.environ.get("SQLALCHEMY_FILE_TEST_SCHEDULES")
ROUND = 25
"""How many schedules one test runs, on the same tables."""
ROUNDS = {"sqlite": 68, "postgresql": 7, "mariadb": 5}
SCALE = int(ASKED) / (ROUND * sum(ROUNDS.values())) if ASKED else 1
STEPS = 12
TENANT = "tenant_of_one"
USUAL = ["write"] * 10 + ["execute"] * 4 + ["drain"] * 6 + ["sweep"] * 2 + ["full"] * 2
USUAL += ["sweep_ahead"]
COPYING = ["clone", "save", "save", "restore", "restore"]

rounds = [
    (database, number)
    for database, count in ROUNDS.items()
    for number in range(max(1, round(count * SCALE)))
]


_Told = tuple[str, set[str]]
"""What a step did, and which objects it has moved."""


class Schedule:
    """One schedule: programs on one bucket, and the steps that its seed chooses."""

    def __init__(self, seed: int, town: Town, interruptions: Interruptions) -> None:
        self.dice = Random(seed)
        self.town = town
        self.interruptions = interruptions
        self.programs = list(town.programs)
        self.kinds = list(USUAL)
        if town.is_sqlite and seed % 3 == 0:
            self.kinds += COPYING
        self.steps = town_steps.ALSO_KEEPING if seed % 2 else town_steps.DELETING
        self.history = [f"seed {seed}"]
        self.counts: Counter[str] = Counter()
        self.stranded: set[str] = set()
        """What rows named, or a ledger listed, that a restored database knows nothing of."""

    def run(self, buckets: Buckets) -> None:
        self.buckets = buckets
        for _ in range(STEPS):
            step = self._any_step()
            interruption = self._any_step() if self.dice.random() < 0.6 else None
            error_in = self.dice.randrange(12) if self.dice.random() < 0.2 else None
            with self.interruptions.armed(interruption, error_in):
                step()
            self.buckets.age(GRACE * 0.4)
            self._nothing_is_lost()
        self._nothing_is_left_over()

    def _any_step(self) -> Callable[[], None]:
        program, kind = self.dice.choice(self.programs), self.dice.choice(self.kinds)

        def step() -> None:
            self.history.append(f"{program.name}: {kind}")
            place, moved = len(self.history) - 1, set[str]()
            try:
                with self.buckets.acting(program.name):
                    told, moved = getattr(self, f"_{kind}")(program)
                self.history[place] += f" {told}"
                self.counts[kind] += 1
            except FORGIVEN as error:
                self.counts[f"{kind} refused"] += 1
                self.history[place] += f" refused: {type(error).__name__} {str(error)[:150]}"
            named = program.look(moved)
            self.history[place] += ", named " + " ".join(sorted(path[-6:] for path in named))

        return step

    # --- what programs do

    def _write(self, program: Program) -> _Told:
        return self.steps.write(program, self.dice)

    def _execute(self, program: Program) -> _Told:
        return self.steps.execute(program, self.dice)

    # --- what operators do

    def _drain(self, program: Program) -> _Told:
        if self.dice.random() < 0.7:
            program.make_due()
        return _told(drain(program.operators, Base.metadata, others=self._others(program),
                           patience=0))  # fmt: skip

    def _sweep(self, program: Program) -> _Told:
        return _told(sweep(program.operators, Base.metadata, others=self._others(program),
                           delete=True, patience=0))  # fmt: skip

    def _full(self, program: Program) -> _Told:
        return _told(compare(program.operators, Base.metadata, others=self._others(program),
                             delete=True, patience=0))  # fmt: skip

    def _sweep_ahead(self, program: Program) -> _Told:
        """Sweep on a machine whose clock is hours ahead."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ages, "datetime", _Ahead)
            return self.dice.choice([self._sweep, self._full])(program)

    def _others(self, program: Program) -> list[tuple[Engine, Any]]:
        """Return the other ledgers of the bucket, or forget them, as operators do."""
        if self.dice.random() < 0.2:
            self.history.append(f"{program.name} forgets all others")
            return []
        return self._all_others(program)

    # --- what operators do with databases

    def _clone(self, program: Program) -> _Told:
        """Start a copy of a database beside it."""
        if any(each.origin for each in self.programs):
            return "once", set()
        clone = self.town.clone_of(program)
        self.programs.append(clone)
        return clone.name, set()

    def _save(self, program: Program) -> _Told:
        program.copy_to(self.town.backup_of(program))
        return "", set()

    def _restore(self, program: Program) -> _Told:
        backup = self.town.backup_of(program)
        if program.origin is not None or not backup.exists():
            return "nothing", set()
        before = program.named() | program.listed()
        program.restore_from(backup)
        self.stranded |= (before | program.kept) - program.named()
        program.excused |= program.named() - self.buckets.there()
        program.start_again()
        return "", set()

    # --- what has to hold

    def _nothing_is_lost(self) -> None:
        there = self.buckets.there()
        for program in self.programs:
            missing = (program.named() | program.kept) - there - program.excused
            origin = program.origin
            if origin is not None:  # the original may delete what its copy's rows name as well
                deleted_by = self.buckets.deleted_by
                missing = {path for path in missing if deleted_by(path) != origin.name}
            assert not missing, f"{program.name} lost {missing}: {self._story()}"

    def _nothing_is_left_over(self) -> None:
        """Tidy as operators do in the end; what copies have stored nobody else may take."""
        self.buckets.age(GRACE * 1.1)
        if any(program.origin for program in self.programs):
            return
        for program in self.programs:
            program.make_due()
            self._drain_all(program)
        excused: set[str] = set()
        if self._left_over(excused) or self.dice.random() < 0.3:  # a full pass takes longest
            for program in self.programs:
                excused |= self._compare_all(program)
                program.make_due()
                self._drain_all(program)
        left = self._left_over(excused)
        assert not left, f"left over {left}: {self._story()}"
        self._nothing_is_lost()

    def _left_over(self, excused: set[str]) -> set[str]:
        named = set().union(*(program.named() for program in self.programs))
        left = self.buckets.there() - named - (excused & self.stranded)
        return left.difference(*(program.archived for program in self.programs))

    def _drain_all(self, program: Program) -> None:
        with self.buckets.acting(program.name):
            list(drain(program.operators, Base.metadata, others=self._all_others(program)))

    def _compare_all(self, program: Program) -> set[str]:
        """Compare all objects with all rows, and return those that look like something else.

        A key that a field chose is told from what others have stored by rows and notes only. An
        orphan is not told from what a field has kept where it keeps anything.
        """
        options = {"others": self._all_others(program), "delete": True, "adopt": True}
        with self.buckets.acting(program.name):
            found = compare(program.operators, Base.metadata, restart=True, **options)
            return {each.path for each in found if each.kind in ("foreign", "kept")}

    def _all_others(self, program: Program) -> list[tuple[Engine, Any]]:
        others = (each for each in self.programs if each is not program)
        return [(each.operators, Base.metadata) for each in others]

    def _story(self) -> str:
        return "\n".join(self.history)


class _Ahead(datetime):
    """A clock that is three hours ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(hours=3)


class Town:
    """The databases of one test: programs on one bucket.

    The second is always on SQLite; the third is a tenant, with a schema in the first's database.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._engines: list[Engine] = []
        self.is_sqlite = url.startswith("sqlite")
        self.programs = [self._program("one", url), self._program("two", self._url("two.db"))]
        if not self.is_sqlite:
            self.programs.append(self._program("tenant", url, schema=TENANT))

    def clone_of(self, program: Program) -> Program:
        path = self._folder / f"clone-{len(self._engines)}.db"
        program.copy_to(path)
        return self._program("clone", self._url(path.name), origin=program)

    def backup_of(self, program: Program) -> Path:
        return self._folder / f"{program.name}.backup"

    def empty(self, buckets: Buckets) -> None:
        buckets.empty()
        for program in self.programs:
            self.backup_of(program).unlink(missing_ok=True)
            program.begin()
            empty(program.engine)

    def close(self) -> None:
        for program in self.programs:
            program.close()
            Base.metadata.drop_all(program.engine)
        if not self.is_sqlite:
            with self._engines[0].begin() as connection:
                cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
                connection.exec_driver_sql(f"DROP SCHEMA {TENANT}{cascade}")
        for engine in self._engines:
            engine.dispose()

    def _url(self, name: str) -> str:
        return f"sqlite:///{self._folder / name}"

    def _program(
        self, name: str, url: str, origin: Program | None = None, schema: str | None = None
    ) -> Program:
        engines = [_engine(url), _engine(url)]
        self._engines += engines
        if schema is not None:
            with engines[0].begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            translated = {"schema_translate_map": {None: schema}}
            engines = [engine.execution_options(**translated) for engine in engines]
        if origin is None:
            Base.metadata.drop_all(engines[0])
            Base.metadata.create_all(engines[0])
        return Program(name, *engines, origin=origin, schema=schema)


def _told(findings: Iterable[Finding]) -> _Told:
    return " ".join(f"{each.kind}:{(each.key or '')[-6:]}" for each in findings), set()


@pytest.fixture
def make_town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Town]]:
    """Return a function that makes the town of a database."""
    towns: list[Town] = []

    def make(kind: str) -> Town:
        is_sqlite = kind == "sqlite"
        url = f"sqlite:///{tmp_path}/one.db" if is_sqlite else f"{kind}_server"
        towns.append(Town(url if is_sqlite else request.getfixturevalue(url), tmp_path))
        return towns[-1]

    yield make
    for town in towns:
        town.close()


def _engine(url: str, **options: Any) -> Engine:
    """Return an engine whose statements wait for no lock: in one thread nobody would release it."""
    kind = make_url(url).get_backend_name()
    if kind == "sqlite":
        options["connect_args"] = {"timeout": 0}
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _ON_CONNECT[kind])
    return engine


def _go_faster(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")


def _wait_for_no_lock(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET innodb_lock_wait_timeout = 0, lock_wait_timeout = 1")


def _wait_for_no_lock_on_postgresql(connection: Any, _record: Any) -> None:
    connection.execute("SET lock_timeout = 20")
    connection.commit()


_ON_CONNECT = {
    "sqlite": _go_faster,
    "postgresql": _wait_for_no_lock_on_postgresql,
    "mysql": _wait_for_no_lock,
    "mariadb": _wait_for_no_lock,
}


# Another program may have deleted the row meanwhile: a session warns of it, and goes on.
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize(("database", "number"), rounds)
def test_no_schedule_loses_or_leaves_an_object(
    make_town: Callable[[str], Town],
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    number: int,
) -> None:
    monkeypatch.setattr(ages, "SKEW", 0)
    town = make_town(database)
    interruptions = Interruptions()
    for name in ("_problems", "_refuse_without_tables"):
        check = getattr(context, name)
        monkeypatch.setattr(context, name, interruptions.now_and_then(check))
    for program in town.programs:
        interruptions.watch(program.operators)
        interruptions.watch(program.engine)
    counts: Counter[str] = Counter()
    for program in town.programs:
        with program.engine.begin() as connection:
            value = f'{{"seconds": {GRACE}}}'
            connection.execute(ledger.state.insert().values(name="grace", value=value))
    with open_buckets(interruptions.maybe) as buckets:
        for index in range(ROUND):
            seed = SystemRandom().randrange(1 << 30) if ASKED else number * ROUND + index
            interruptions.dice = Random(seed + 1)
            town.empty(buckets)
            schedule = Schedule(seed, town, interruptions)
            schedule.run(buckets)
            counts += schedule.counts
    assert counts["write"] > counts["write refused"]
    assert counts["drain"] > 0 < counts["sweep"]
