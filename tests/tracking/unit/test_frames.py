"""One frame a transaction or savepoint: references are counted, merged and forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlalchemy_file import File
from sqlalchemy_file.tracking.changes import Effects
from sqlalchemy_file.tracking.unit.frames import Ending, Frames


def file(path: str) -> File:
    return File.decode({"saved": True, "path": path, "files": [path]})


def store(frames: Frames, *paths: str) -> list[File]:
    files = [file(path) for path in paths]
    frames.top.files += files
    frames.top.stored.update(paths)
    return files


def acquire(frames: Frames, *paths: str) -> None:
    frames.change(Effects(acquired=list(paths)))


def release(frames: Frames, *paths: str) -> None:
    frames.change(Effects(released=list(paths)))


def archive(frames: Frames, *paths: str) -> None:
    frames.change(Effects(archived=list(paths)))


@pytest.fixture
def frames() -> Frames:
    return Frames()


# --- one transaction


def test_a_transaction_that_did_nothing_leaves_nothing_to_do(frames: Frames) -> None:
    assert not frames
    assert frames.commit() == Ending()
    assert frames.roll_back() == Ending()


def test_a_new_object_is_named_by_nobody_and_an_old_one_by_one_row(frames: Frames) -> None:
    store(frames, "new")
    assert (frames.count("new"), frames.count("old")) == (0, 1)
    assert frames


def test_a_new_object_that_a_row_names_stays(frames: Frames) -> None:
    (new,) = store(frames, "new")
    acquire(frames, "new")
    assert frames.commit() == Ending(settled=(new,))


def test_a_new_object_that_no_row_names_is_doomed_and_its_file_reverted(frames: Frames) -> None:
    (new,) = store(frames, "new")
    assert frames.commit() == Ending(frozenset({"new"}), reverted=(new,))


def test_an_old_object_that_was_released_is_doomed(frames: Frames) -> None:
    release(frames, "old")
    assert frames.commit().doomed == {"old"}


@pytest.mark.parametrize("first", [acquire, release])
def test_an_object_that_moved_stays_whatever_came_first(frames: Frames, first: object) -> None:
    second = release if first is acquire else acquire
    first(frames, "old")  # type: ignore[operator]
    second(frames, "old")
    assert frames.commit().doomed == frozenset()


def test_what_lets_go_of_an_object_last_decides_whether_it_stays(frames: Frames) -> None:
    archive(frames, "old")
    acquire(frames, "old")
    release(frames, "old")
    assert frames.commit().doomed == {"old"}


def test_a_row_may_take_a_file_over_before_the_other_one_lets_go_of_it(frames: Frames) -> None:
    acquire(frames, "old")
    archive(frames, "old")
    frames.savepoint("a")
    release(frames, "old")
    assert frames.keeping() == (set(), {"old"})
    frames.roll_back_to("a")
    archive(frames, "old")
    assert frames.keeping() == ({"old"}, set())
    assert frames.commit().doomed == frozenset()


def test_an_object_stays_that_did_not_come_to_the_row_which_should_take_it_over(
    frames: Frames,
) -> None:
    acquire(frames, "old")
    archive(frames, "old")
    frames.correct(Effects(released=["old"]))
    assert frames.keeping() == ({"old"}, set())
    assert frames.commit().doomed == frozenset()


def test_one_of_several_rows_that_keeps_is_enough(frames: Frames) -> None:
    archive(frames, "old")
    release(frames, "old")  # of a row that nobody knew of
    assert frames.commit().doomed == frozenset()


def test_an_archived_object_stays_though_no_row_names_it(frames: Frames) -> None:
    archive(frames, "old")
    assert frames.commit().doomed == frozenset()


def test_a_new_object_is_not_archived_before_it_was_ever_committed(frames: Frames) -> None:
    store(frames, "new")
    acquire(frames, "new")
    archive(frames, "new")
    assert frames.commit().doomed == {"new"}


def test_a_rollback_dooms_what_was_stored_and_nothing_else(frames: Frames) -> None:
    one, two = store(frames, "one", "two")
    acquire(frames, "one")
    release(frames, "old")
    assert frames.roll_back() == Ending(frozenset({"one", "two"}), reverted=(two, one))


def test_an_unknown_end_dooms_nothing(frames: Frames) -> None:
    (new,) = store(frames, "new")
    release(frames, "old")
    frames.savepoint("s")
    (inner,) = store(frames, "inner")
    assert frames.forget() == Ending(settled=(new, inner))


@pytest.mark.parametrize("end", ["commit", "roll_back", "forget"])
def test_after_its_end_a_transaction_is_forgotten(frames: Frames, end: str) -> None:
    store(frames, "new")
    release(frames, "old")
    frames.savepoint("s")
    getattr(frames, end)()
    assert not frames
    assert frames.commit() == Ending()


def test_what_nobody_is_sure_of_is_not_doomed(frames: Frames) -> None:
    store(frames, "new")
    frames.top.unsure.append(Effects(acquired=["new"], released=["old"]))
    release(frames, "old")
    assert frames.commit().doomed == frozenset()


def test_unsure_effects_are_taken_from_every_frame_once(frames: Frames) -> None:
    outer, inner = Effects(released=["a"]), Effects(released=["b"])
    frames.top.unsure.append(outer)
    frames.savepoint("s")
    frames.top.unsure.append(inner)
    assert frames.take_unsure() == [outer, inner]
    assert frames.take_unsure() == []


def test_what_was_done_is_judged_by_what_the_tables_name() -> None:
    effects = Effects("table", ["a", "b"], ["c", "d"], ["e", "f"])
    assert effects.paths() == set("abcdef")
    counts = {"a": 0, "b": 0, "c": 1, "d": 1, "e": 1, "f": 2}
    seen = effects.as_seen({"a", "c", "e"}, counts.__getitem__)
    assert (seen.acquired, seen.released, seen.archived) == (["a"], ["d"], ["f", "f"])


# --- savepoints


def test_a_released_savepoint_merges_into_the_frame_around_it(frames: Frames) -> None:
    frames.savepoint("s")
    (new,) = store(frames, "new")
    acquire(frames, "new")
    release(frames, "old")
    frames.release("s")
    assert frames.commit() == Ending(frozenset({"old"}), settled=(new,))


def test_a_savepoint_rolled_back_leaves_the_frame_around_it_untouched(frames: Frames) -> None:
    (outer,) = store(frames, "outer")
    acquire(frames, "outer")
    frames.savepoint("s")
    (inner,) = store(frames, "inner")
    acquire(frames, "inner")
    release(frames, "old", "outer")
    assert frames.roll_back_to("s") == Ending(frozenset({"inner"}), reverted=(inner,))
    assert frames.commit() == Ending(settled=(outer,))


def test_rolling_back_to_an_outer_savepoint_ends_those_within_it(frames: Frames) -> None:
    frames.savepoint("one")
    store(frames, "a")
    frames.savepoint("two")
    store(frames, "b")
    assert frames.roll_back_to("one").doomed == {"a", "b"}
    assert frames.roll_back_to("two") == Ending()


def test_releasing_an_outer_savepoint_releases_those_within_it(frames: Frames) -> None:
    frames.savepoint("one")
    frames.savepoint("two")
    release(frames, "old")
    frames.release("one")
    assert frames.roll_back_to("two") == Ending()
    assert frames.commit().doomed == {"old"}


def test_a_savepoint_that_nobody_knows_changes_nothing(frames: Frames) -> None:
    store(frames, "new")
    frames.release("nobody")
    assert frames.roll_back_to("nobody") == Ending()
    assert frames.roll_back().doomed == {"new"}


def test_files_are_reverted_newest_first_across_savepoints(frames: Frames) -> None:
    files = store(frames, "a", "b")
    frames.savepoint("s")
    files += store(frames, "c", "d")
    assert list(frames.roll_back().reverted) == files[::-1]


# --- random programs against a plain model

ROWS = 4
OLD = {0: "old-0", 1: "old-1"}


@dataclass
class World:
    """Rows that name at most one object each; a savepoint is a copy of the rows."""

    frames: Frames = field(default_factory=Frames)
    rows: dict[int, str] = field(default_factory=lambda: dict(OLD))
    levels: list[tuple[str, dict[int, str]]] = field(default_factory=list)
    objects: set[str] = field(default_factory=lambda: set(OLD.values()))
    made: int = 0

    def put(self, row: int, path: str | None) -> Effects:
        before = self.rows.pop(row, None)
        if path is not None:
            self.rows[row] = path
        return Effects(acquired=[path] if path else [], released=[before] if before else [])

    def new(self) -> str:
        self.made += 1
        path = f"new-{self.made}"
        store(self.frames, path)
        self.objects.add(path)
        return path

    def do(self, step: tuple[str, int, int]) -> None:
        kind, one, two = step
        getattr(self, f"do_{kind}")(one, two)

    def do_store(self, one: int, two: int) -> None:
        self.frames.change(self.put(one, self.new()))

    def do_fail(self, one: int, two: int) -> None:
        self.new()  # its statement never succeeds

    def do_clear(self, one: int, two: int) -> None:
        self.frames.change(self.put(one, None))

    def do_move(self, one: int, two: int) -> None:
        if one != two and one in self.rows:
            path = self.rows[one]
            effects = [self.put(one, None), self.put(two, path)]
            for effect in effects if (one + two) % 2 else effects[::-1]:
                self.frames.change(effect)

    def do_swap(self, one: int, two: int) -> None:
        if one != two and one in self.rows and two in self.rows:
            first, second = self.rows[one], self.rows[two]
            for effects in (self.put(one, second), self.put(two, first)):
                self.frames.change(effects)

    def do_savepoint(self, one: int, two: int) -> None:
        name = f"s{len(self.levels)}"
        self.levels.append((name, dict(self.rows)))
        self.frames.savepoint(name)

    def do_release(self, one: int, two: int) -> None:
        if self.levels:
            at = one % len(self.levels)
            self.frames.release(self.levels[at][0])
            del self.levels[at:]

    def do_undo(self, one: int, two: int) -> None:
        if self.levels:
            at = one % len(self.levels)
            name, self.rows = self.levels[at]
            del self.levels[at:]
            self.delete(self.frames.roll_back_to(name))

    def delete(self, ending: Ending) -> None:
        assert ending.doomed <= self.objects, "deleted twice"
        self.objects -= ending.doomed

    def assert_counts(self) -> None:
        named = Counter(self.rows.values())
        for path in self.objects:
            assert self.frames.count(path) == named[path], path


numbers = st.integers(0, ROWS - 1)
kinds = st.sampled_from(
    ["store", "store", "fail", "clear", "move", "swap", "savepoint", "release", "undo"]
)


@settings(max_examples=300)
@given(steps=st.lists(st.tuples(kinds, numbers, numbers), max_size=40), commits=st.booleans())
def test_whatever_happens_the_objects_are_those_that_rows_name(
    steps: list[tuple[str, int, int]], commits: bool
) -> None:
    world = World()
    for step in steps:
        world.do(step)
        world.assert_counts()
        assert set(world.rows.values()) <= world.objects
    ending = world.frames.commit() if commits else world.frames.roll_back()
    world.delete(ending)
    named = set(world.rows.values()) if commits else set(OLD.values())
    assert world.objects == named
    touched = [one["path"] for one in (*ending.reverted, *ending.settled)]
    assert len(touched) == len(set(touched))
    assert {one["path"] for one in ending.settled} == named - set(OLD.values()) or not commits
