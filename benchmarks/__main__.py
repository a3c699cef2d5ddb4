"""The command: measures what is asked for, prints the table and writes the page."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases import ALL, CASES, Case
from benchmarks.machine import describe
from benchmarks.measuring import ROOT, Outcome, measure, versions
from benchmarks.photos import photo_in
from benchmarks.report import page_with, table
from benchmarks.servers import Servers

RESULTS = ROOT / "build" / "bench" / "results.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
QUICK_PART = 20


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the folder goes then, too
    options = _arguments()
    chosen = _chosen(options.cases)
    if options.list:
        for case in chosen:
            print(f"{case.name:24} {case.title}")
        return 0
    results: dict[str, Any] = {"machine": describe(), "versions": _versions(), "outcomes": {}}
    if (options.cases or options.page) and RESULTS.exists():
        results["outcomes"] = json.loads(RESULTS.read_text())["outcomes"]
    if not options.page:
        _run(chosen, options, results)
    if options.page or not (options.cases or options.quick):
        page = page_with(PAGE.read_text(), results["machine"], results["versions"], _read(results))
        PAGE.write_text(page)
        print(f"\nwritten: {PAGE.relative_to(ROOT)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...", description=__doc__)
    parser.add_argument("cases", nargs="*", help="beginnings of names of cases; default: all")
    parser.add_argument("--list", action="store_true", help="list the cases and do nothing")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work, one round")
    parser.add_argument("--rounds", type=int, help="how many, instead of five")
    parser.add_argument("--page", action="store_true", help="only write the page, of what was kept")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where files are made")
    return parser.parse_args()


def _chosen(beginnings: list[str]) -> list[Case]:
    chosen = [case for case in CASES if not beginnings or case.name.startswith(tuple(beginnings))]
    if not chosen:
        raise SystemExit(f"no case begins with {' or '.join(beginnings)}; see --list")
    return chosen


def _versions() -> dict[str, dict[str, str]]:
    return versions({name: entry.module for name, entry in ALL.items()})


def _run(chosen: list[Case], options: argparse.Namespace, results: dict[str, Any]) -> None:
    options.folder.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    outcomes = {}
    try:
        for case in chosen:
            outcomes[case.name] = _measured(case, folder, options)
            print(table([case], outcomes), flush=True)
            if not options.quick:
                results["outcomes"][case.name] = asdict(outcomes[case.name])
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{table(chosen, outcomes)}")


def _measured(case: Case, folder: Path, options: argparse.Namespace) -> Outcome:
    rounds = options.rounds or (1 if options.quick else case.rounds)
    start = time.monotonic()
    print(f"\n{case.name}: {case.title}", file=sys.stderr, flush=True)
    with Servers() as servers:
        facts = _facts(case, folder, servers)
        outcome = measure(case, folder, facts, rounds, QUICK_PART if options.quick else 1)
    print(f"  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return outcome


def _facts(case: Case, folder: Path, servers: Servers) -> dict[str, Any]:
    """Return what the contenders need to know beside the case."""
    match case.needs:
        case "postgresql":
            return {"database": servers.postgresql()}
        case "s3" | "far s3":
            return servers.bucket(far=case.needs == "far s3")
        case "photo" | "progressive photo":
            photo = photo_in(folder, progressive=case.needs != "photo")
            return {"photo": str(photo)}
    return {}


def _read(results: dict[str, Any]) -> dict[str, Outcome]:
    return {name: Outcome(**outcome) for name, outcome in results["outcomes"].items()}


if __name__ == "__main__":
    sys.exit(main())
