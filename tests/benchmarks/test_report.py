"""Figures become medians of ratios, ratios a table, and the table a part of the page."""

from __future__ import annotations

import pytest

from benchmarks.cases import CASES, AtMost, Case, Faster, some
from benchmarks.measuring import Contender, ContenderError, Outcome, _take_turns, python_of
from benchmarks.report import BEGIN, END, page_with, table

CASE = Case(
    "saving",
    "save ten files",
    "save",
    10,
    entries=some("ours", "floor"),
    targets=(Faster("floor", 0.9), AtMost("seconds", 0.1, "s")),
)


def outcome(ours: list[float], floor: list[float], case: Case = CASE) -> Outcome:
    rounds = {
        name: [{"seconds": one} for one in values]
        for name, values in (("ours", ours), ("floor", floor))
    }
    return Outcome(case.name, {"ours": 10, "floor": 10}, rounds)


def test_the_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    assert outcome([1, 2, 4], [2, 2, 2]).times_as_fast("ours", "floor") == 1
    assert outcome([1, 2, 4], [2, 2, 2]).typical("ours", "seconds") == 0.2


def test_who_does_a_part_of_the_work_is_compared_by_the_file() -> None:
    measured = outcome([1], [1])
    measured.files["floor"] = 1
    assert measured.times_as_fast("ours", "floor") == 10


def test_the_table_says_what_is_reached() -> None:
    lines = table([CASE], {"saving": outcome([2], [1])}).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "work",
        "ours",
        "floor",
        "target: reached",
    ]
    assert "200.0 ms (0.50)" in lines[2]
    assert "0.9 x floor: 0.50 ✗; seconds at most 0.1 s: 0.2 ✗" in lines[2]
    assert "0.9 x floor: 1.00 ✓" in table([CASE], {"saving": outcome([1], [1])})


def test_cases_that_were_not_run_have_no_line() -> None:
    assert len(table(CASES, {"save_local": _of("save_local")}).splitlines()) == 3


def test_the_page_tells_every_day_on_which_figures_were_measured() -> None:
    measured = {"save_local": _of("save_local"), "read_local": _of("read_local")}
    measured["save_local"].day, measured["read_local"].day = "2031-05-07", "2031-05-06"
    page = page_with(f"{BEGIN}{END}", {"system": "Linux"}, {}, measured)
    assert "Measured on 2031-05-06 and 2031-05-07, on: system Linux." in page


def test_only_the_part_of_the_page_between_the_marks_is_new() -> None:
    page = f"# Title\n\n{BEGIN}\nlast year\n{END}\n\nRest\n"
    new = page_with(page, {"system": "Linux"}, {}, {"save_local": _of("save_local")})
    assert new.startswith(f"# Title\n\n{BEGIN}\n")
    assert new.endswith(f"{END}\n\nRest\n")
    assert "last year" not in new
    assert "system Linux" in new
    assert page_with(new, {"system": "Linux"}, {}, {"save_local": _of("save_local")}) == new


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="is to have a line"):
        page_with("# Title", {}, {}, {})


def test_rounds_in_which_the_floor_was_far_off_are_done_again() -> None:
    class Slow:
        def ask(self, **request: object) -> dict[str, float]:
            return {"seconds": 9 if request["number"] == 2 else 1}

    measured = Outcome("saving", {"floor": 1, "ours": 1}, {"floor": [], "ours": []})
    _take_turns(measured, {"floor": Slow(), "ours": Slow()}, 5, repeats=True)  # type: ignore[dict-item]
    assert measured.void == 1
    assert [this["seconds"] for this in measured.rounds["ours"]] == [1] * 5


def test_a_contender_that_fails_says_why() -> None:
    with (
        Contender("floor", python_of("floor")) as contender,
        pytest.raises(ContenderError, match="has no attribute 'juggle'"),
    ):
        contender.ask(
            do="prepare", work="juggle", setting={"folder": ".", "n": 1, "size": 1, "rounds": 1}
        )


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def _of(name: str) -> Outcome:
    case = next(case for case in CASES if case.name == name)
    return Outcome(
        name, dict.fromkeys(case.entries, case.n), {one: [{"seconds": 1.0}] for one in case.entries}
    )
