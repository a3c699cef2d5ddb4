"""The table, and the part of the page that is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.cases import ALL, CASES, AtMost, Case, Faster
from benchmarks.measuring import Outcome

BEGIN, END = "<!-- figures: made by `make bench` -->", "<!-- end of figures -->"
COLUMNS = tuple(ALL)
HEADINGS = {
    "main": "Compared with the floor and others",
    "single": "One file at a time, and none",
    "stall": "The event loop",
    "served": "On the web",
    "memory": "Memory",
    "ledger": "What the ledger costs",
    "flush": "How cost grows: files a flush",
    "rows": "How cost grows: rows loaded",
    "sizes": "How cost grows: bytes a file",
}


def table(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> str:
    """Return a table in Markdown with a line for each case that was measured."""
    measured = [case for case in cases if case.name in outcomes]
    used = {name for case in measured for name in case.entries}
    columns = [*(name for name in COLUMNS if name in used), *sorted(used - {*COLUMNS})]
    has_targets = any(case.targets for case in measured)
    lines = [["work", *columns, *(["target: reached"] if has_targets else [])]]
    for case in measured:
        outcome = outcomes[case.name]
        cells = [_cell(case, outcome, name) for name in columns]
        targets = ["; ".join(_judged(target, outcome) for target in case.targets)]
        lines.append([case.title, *cells, *(targets if has_targets else [])])
    return _aligned(lines)


def page_with(
    page: str,
    machine: Mapping[str, str],
    versions: Mapping[str, Mapping[str, str]],
    outcomes: Mapping[str, Outcome],
) -> str:
    """Return the page with new figures between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page is to have a line {BEGIN!r} and below it a line {END!r}")
    parts = [_on(machine, {outcome.day for outcome in outcomes.values()}), _of(versions)]
    for group, heading in HEADINGS.items():
        cases = [case for case in CASES if case.group == group and case.name in outcomes]
        if cases:
            parts += [f"### {heading}", table(cases, outcomes)]
    return "".join([before, begin, "\n\n", "\n\n".join(parts), "\n\n", end, after])


def _on(machine: Mapping[str, str], days: Iterable[str]) -> str:
    facts = [f"{name} {value}" for name, value in machine.items()]
    return f"Measured on {' and '.join(sorted(days))}, on: {'; '.join(facts)}."


def _of(versions: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        f"* {name}: " + ", ".join(f"{package} {number}" for package, number in packages.items())
        for name, packages in versions.items()
    ]
    return "\n".join(lines)


def _cell(case: Case, outcome: Outcome, name: str) -> str:
    if name not in outcome.rounds:
        return ""
    value = _quantity(case, outcome.typical(name, case.measure))
    if case.measure == "worst":
        most, idle, most_idle = (
            outcome.typical(name, measure)
            for measure in ("percentile_99", "idle_worst", "idle_percentile_99")
        )
        return f"{value} (99 %: {most:.1f} ms), idle process {idle:.1f} ms ({most_idle:.1f} ms)"
    base = "floor" if "floor" in outcome.rounds else "ours"
    if case.measure == "seconds" and name != base:
        return f"{value} ({_ratio(outcome.times_as_fast(name, base))})"
    return value


def _quantity(case: Case, value: float) -> str:
    match case.measure:
        case "worst":
            return f"{value:.1f} ms"
        case "megabytes":
            return f"{value:.0f} MB"
    if case.n == 1 and case.size > 1_000_000:
        return f"{case.size / value / 1e6:,.0f} MB/s"
    if value < 0.01:
        return f"{value * 1e6:,.1f} µs"
    return f"{value * 1e3:,.1f} ms"


def _judged(target: Faster | AtMost, outcome: Outcome) -> str:
    if isinstance(target, AtMost):
        value = outcome.typical("ours", target.measure)
        reached = value <= target.limit
        what = f"{target.measure.replace('_', ' ')} at most {target.limit:g} {target.unit}"
        return f"{what}: {value:.1f} {_mark(reached)}"
    ratio = outcome.times_as_fast("ours", target.other)
    what = f"{target.times:g} x {target.other}"
    return f"{what}: {_ratio(ratio)} {_mark(ratio >= target.times)}"


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {row} |" for row in [rows[0], rule, *rows[1:]])
