"""Let atheris look for requests that leave a file's bounds, or that make the core raise.

``python -m tests.serving.fuzz -atheris_runs=1000000`` ends with an error where it finds one.
Further options are those of libFuzzer.
"""

from __future__ import annotations

import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["sqlalchemy_file.serving"], enable_loader_override=False):
    from tests.serving.http.test_random_requests import require_within_bounds

METHODS = ["GET", "GET", "GET", "HEAD", "OPTIONS", "POST"]
CONDITIONS = ["if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]
KNOWN = [
    '"same"', 'W/"same"', "*", '"other", "same"', '"', "same", "Sun, 01 Mar 2026 00:00:00 GMT",
    "Sunday, 01-Mar-26 00:00:00 GMT", "Sun Mar  1 00:00:00 2026", "Sun, 31 Feb 2026 00:00:60 GMT",
]  # fmt: skip


def one(data: bytes) -> None:
    """Make a request of some bytes, and require what holds for every request."""
    source = atheris.FuzzedDataProvider(data)
    method = METHODS[source.ConsumeIntInRange(0, len(METHODS) - 1)]
    size = source.ConsumeIntInRange(0, 40 if source.ConsumeBool() else 1 << 62)
    headers = {name: _condition(source) for name in CONDITIONS if source.ConsumeBool()}
    if source.ConsumeProbability() < 0.9:
        headers["range"] = _range(source, size)
    require_within_bounds(headers, size, method)


def _condition(source: Any) -> str:
    if source.ConsumeBool():
        return KNOWN[source.ConsumeIntInRange(0, len(KNOWN) - 1)]
    return str(source.ConsumeUnicode(source.ConsumeIntInRange(0, 40)))


def _range(source: Any, size: int) -> str:
    if source.ConsumeProbability() < 0.2:
        return str(source.ConsumeUnicode(60))
    specs = [_spec(source, size) for _ in range(source.ConsumeIntInRange(1, 24))]
    return "bytes=" + ",".join(specs)


def _spec(source: Any, size: int) -> str:
    most = min(60, size + 2) if source.ConsumeBool() else size + 2
    first, last = source.ConsumeIntInRange(0, most), source.ConsumeIntInRange(0, most)
    kind = source.ConsumeIntInRange(0, 4)
    return [f"{first}-{last}", f"{first}-", f"-{last}", f" {first}-{last}\t", str(first)][kind]


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=600", "-len_control=0"], one)
    atheris.Fuzz()
