"""Random programs against a plain model: whatever is done in whatever order, the promise holds.

The model is a stack of plain dicts: what is committed, what the open transaction sees, and what
each open savepoint sees.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from sqlalchemy_file import File

from .content import FailingStream
from .matrix import Matrix
from .models import Page
from .programs import Program, play
from .table import Column

ROWS = range(1, 5)
MOST_PICTURES = 6

rows = st.sampled_from(ROWS)
positions = st.integers(0, MOST_PICTURES)
counts = st.integers(0, 2)


@dataclass
class PlainPage:
    """A row of the model: labels instead of files."""

    cover: str | None = None
    pictures: list[str] = field(default_factory=list)


Pages = dict[int, PlainPage]


class SessionProgram(Program):
    """One session at work, beside the model of what it should come to."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, Page] = {}
        self._clipboard: list[tuple[str, File]] = []
        self.levels: list[Pages] = [{}, {}]

    @initialize(expire_on_commit=st.booleans())
    def begin(self, expire_on_commit: bool) -> None:
        self.open_world()
        self.session = self.world.session(expire_on_commit=expire_on_commit, autoflush=False)

    def finish(self) -> None:
        self.close()

    # what the model says

    @property
    def pages(self) -> Pages:
        """What the session sees now."""
        return self.levels[-1]

    @property
    def depth(self) -> int:
        return len(self.levels) - 2

    def _new(self) -> tuple[str, File]:
        label, file = self.new_file()
        self._clipboard = [*self._clipboard[-7:], (label, file)]
        return label, file

    def _several(self, count: int) -> tuple[list[str], list[File]]:
        made = [self._new() for _ in range(count)]
        return [label for label, _ in made], [file for _, file in made]

    def _page(self, number: int) -> Page:
        """Return the instance for a row that the model knows."""
        if number not in self._live:
            self.session.flush()
            self._live[number] = self.session.get_one(Page, number)
        return self._live[number]

    def _remember(self, plain: PlainPage, page: Page) -> None:
        """Keep the files of a row, to be given to other rows later."""
        found = [(plain.cover, page.cover)] if plain.cover else []
        found += zip(plain.pictures, page.pictures or [], strict=True)
        self._clipboard = [*self._clipboard, *found][-8:]

    # single rows

    @rule(number=rows, covered=st.booleans(), count=counts)
    def insert(self, number: int, covered: bool, count: int) -> None:
        if number in self.pages:
            return
        labels, files = self._several(count)
        cover, file = self._new() if covered else (None, None)
        self._live[number] = page = Page(id=number, cover=file, pictures=files)
        self.session.add(page)
        self.pages[number] = PlainPage(cover, labels)

    @rule(number=rows, clear=st.booleans())
    def replace(self, number: int, clear: bool) -> None:
        if number not in self.pages:
            return
        label, file = (None, None) if clear else self._new()
        self._page(number).cover = file
        self.pages[number].cover = label

    @rule(number=rows)
    def delete(self, number: int) -> None:
        if number not in self.pages:
            return
        page = self._page(number)
        if page in self.session.new:
            self.session.expunge(page)
        else:
            self.session.delete(page)
        del self._live[number], self.pages[number]

    @rule(first=rows, second=rows)
    def swap_covers(self, first: int, second: int) -> None:
        if first == second or not {first, second} <= set(self.pages):
            return
        one, other = self._page(first), self._page(second)
        one.cover, other.cover = other.cover, one.cover
        plain, other_plain = self.pages[first], self.pages[second]
        plain.cover, other_plain.cover = other_plain.cover, plain.cover

    # lists

    @rule(number=rows, start=positions, stop=positions, count=counts, keep=st.booleans())
    def splice(self, number: int, start: int, stop: int, count: int, keep: bool) -> None:
        """Replace a slice by new files, and with ``keep`` by its old ones in reverse, too."""
        if number not in self.pages:
            return
        labels, files = self._several(count)
        plain, page = self.pages[number], self._page(number)
        old = plain.pictures[start:stop][::-1] if keep else []
        old_files = (page.pictures or [])[start:stop][::-1] if keep else []
        plain.pictures[start:stop] = labels + old
        if page.pictures is None:
            page.pictures = files
        else:
            page.pictures[start:stop] = files + list(old_files)
        self._shorten(number)

    @rule(number=rows, position=positions, append=st.booleans())
    def pop(self, number: int, position: int, append: bool) -> None:
        if number not in self.pages or position >= len(self.pages[number].pictures):
            return
        label = self.pages[number].pictures.pop(position)
        pictures: Any = self._page(number).pictures
        file = pictures.pop(position)
        if append:
            self.pages[number].pictures.append(label)
            pictures.append(file)
        else:
            self._clipboard = [*self._clipboard[-7:], (label, file)]

    @rule(number=rows, change=st.sampled_from(["reverse", "double", "assign", "clear"]))
    def rearrange(self, number: int, change: str) -> None:
        if number not in self.pages or not self.pages[number].pictures:
            return
        plain, page = self.pages[number], self._page(number)
        pictures: Any = page.pictures
        if change == "reverse":
            plain.pictures.reverse()
            pictures.reverse()
        elif change == "double":
            plain.pictures *= 2
            pictures *= 2
        elif change == "assign":
            plain.pictures = plain.pictures[1:] + plain.pictures[:1]
            page.pictures = pictures[1:] + pictures[:1]
        else:
            plain.pictures = []
            page.pictures = None
        self._shorten(number)

    def _shorten(self, number: int) -> None:
        """Keep lists short enough to be quick."""
        if len(self.pages[number].pictures) > MOST_PICTURES:
            del self.pages[number].pictures[MOST_PICTURES:]
            pictures: Any = self._page(number).pictures
            del pictures[MOST_PICTURES:]

    # files that are given on

    @rule(number=rows)
    def remember(self, number: int) -> None:
        if number in self.pages:
            self._remember(self.pages[number], self._page(number))

    @rule(number=rows, choice=st.integers(0, 7), to_list=st.booleans())
    def paste(self, number: int, choice: int, to_list: bool) -> None:
        """Give a file that was seen before to a row, wherever it belongs now."""
        if number not in self.pages or choice >= len(self._clipboard):
            return
        label, file = self._clipboard[choice]
        if not self._can_be_given(file):
            return
        plain, page = self.pages[number], self._page(number)
        if not to_list:
            plain.cover, page.cover = label, file
        elif len(plain.pictures) < MOST_PICTURES:
            plain.pictures.append(label)
            if page.pictures is None:
                page.pictures = [file]
            else:
                page.pictures.append(file)

    def _can_be_given(self, file: File) -> bool:
        """Tell whether there still is an object, or content to make one from."""
        if file.saved:
            return set(file.files) <= set(self.world.objects())
        return "path" not in file

    # statements

    @rule(number=rows, core=st.booleans(), count=counts)
    def bulk_insert(self, number: int, core: bool, count: int) -> None:
        self.session.flush()
        if number in self.pages:
            return
        labels, files = self._several(count)
        cover, file = self._new()
        self._execute(core, insert(Page), [{"id": number, "cover": file, "pictures": files}])
        self.pages[number] = PlainPage(cover, labels)

    @rule(number=rows, core=st.booleans(), clear=st.booleans())
    def bulk_update(self, number: int, core: bool, clear: bool) -> None:
        self.session.flush()
        label, file = (None, None) if clear else self._new()
        self._execute(core, update(Page).where(Page.id == number).values(cover=file))
        if number in self.pages:
            self.pages[number].cover = label

    @rule(least=rows, core=st.booleans())
    def bulk_clear(self, least: int, core: bool) -> None:
        self.session.flush()
        self._execute(core, update(Page).where(Page.id >= least).values(cover=None, pictures=None))
        for number, plain in self.pages.items():
            if number >= least:
                plain.cover, plain.pictures = None, []

    @rule(least=rows, core=st.booleans())
    def bulk_delete(self, least: int, core: bool) -> None:
        self.session.flush()
        self._execute(core, delete(Page).where(Page.id >= least))
        for number in [number for number in self.pages if number >= least]:
            del self.pages[number]

    def _execute(self, core: bool, *arguments: Any) -> None:
        if core:
            self.session.connection().execute(*arguments)
        else:
            self.session.execute(*arguments, execution_options={"synchronize_session": False})
        self.session.expire_all()
        self._live.clear()
        self.session.expunge_all()

    # transactions

    @rule()
    def flush(self) -> None:
        self.session.flush()
        for number in list(self.pages):
            self._assert_same(number)

    def _assert_same(self, number: int) -> None:
        plain, page = self.pages[number], self._page(number)
        assert (page.cover and self.world.opens(page.cover)) == plain.cover
        assert [self.world.opens(file) for file in page.pictures or []] == plain.pictures

    @rule()
    def expire(self) -> None:
        self.session.flush()
        self.session.expire_all()

    @rule()
    def commit(self) -> None:
        self.session.commit()
        self.levels = [self.pages, copy.deepcopy(self.pages)]
        self._check()

    @rule()
    def rollback(self) -> None:
        """End the transaction, with all savepoints that are open in it."""
        self.session.rollback()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.levels = [self.levels[0], copy.deepcopy(self.levels[0])]
        self._live.clear()
        self._check()

    @precondition(lambda self: self.depth < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self.session.begin_nested()
        self.levels.append(copy.deepcopy(self.pages))

    @precondition(lambda self: self.depth > 0)
    @rule()
    def release_savepoint(self) -> None:
        savepoint = self.session.get_nested_transaction()
        assert savepoint is not None
        savepoint.commit()
        self.levels[-2:] = [self.pages]

    @precondition(lambda self: self.depth > 0)
    @rule()
    def rollback_to_savepoint(self) -> None:
        savepoint = self.session.get_nested_transaction()
        assert savepoint is not None
        savepoint.rollback()
        self.levels.pop()
        self._live.clear()

    @rule()
    def close(self) -> None:
        self.session.close()
        self._begin_anew()

    @rule(kind=st.sampled_from(["content", "constraint"]))
    def fail(self, kind: str) -> None:
        """Let a flush fail, and go on after the rollback that it asks for."""
        _label, file = self._new()
        if kind == "content":
            self.session.add(Page(id=90, cover=file))
            self.session.add(Page(id=91, cover=File(FailingStream(b"x" * 100))))
        else:
            self.session.add_all(
                [Page(id=92, title="taken"), Page(id=93, title="taken", cover=file)]
            )
        with pytest.raises((ConnectionResetError, IntegrityError)):
            self.session.flush()
        if self.depth > 0:
            self.rollback_to_savepoint()
        else:
            self.rollback()

    # the promise

    def _check(self) -> None:
        """Compare what is committed with the model, object by object."""
        self.world.check()
        committed = self.levels[0]
        numbers = sorted(committed)
        assert self.world.labels(Page.cover) == [committed[number].cover for number in numbers]
        assert [labels or [] for labels in self.world.labels(Page.pictures)] == [
            committed[number].pictures for number in numbers
        ]

    @invariant()
    def nothing_committed_is_missing(self) -> None:
        """Whatever is under way, the files of committed rows are there."""
        if hasattr(self, "world"):
            assert set(self.world.paths(Page.cover)) <= set(self.world.objects())
            assert set(self.world.paths(Page.pictures)) <= set(self.world.objects())


@pytest.mark.parametrize(
    ("database", "examples"), [("sqlite", 120), ("postgresql", 25), ("mariadb", 25)]
)
def test_random_programs_keep_the_promise(matrix: Matrix, database: str, examples: int) -> None:
    play(SessionProgram, matrix, Column(database=database, storage="memory"), examples)
