"""Spans and metrics for OpenTelemetry; `instrument` starts them.

There is a span for each object stored or copied, and for each batch of deletions. Its attributes
are the storage, the key (or the number of objects) and the size. Metrics contain the storage, never
a key. Spans contain no error messages, because these may contain the file name of a client.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextvars import Token

from sqlalchemy_file import observing
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.observing import Count, Task

try:
    from opentelemetry import context
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
    from opentelemetry.trace import Span, StatusCode, Tracer, TracerProvider, get_tracer
    from opentelemetry.trace import set_span_in_context as in_context
except ImportError as _error:
    raise MissingExtraError("sqlalchemy_file.integrations.opentelemetry", "otel") from _error

__all__ = ["instrument", "uninstrument"]

_NAME = "sqlalchemy_file"
_DONE = {
    "store": ("stored", "Objects stored"),
    "copy": ("copied", "Objects copied"),
    "release": ("released", "Objects released by committed transactions"),
    "delete": ("deleted", "Objects deleted"),
}
_COUNTS = {
    "pending releases": "Objects released and not yet deleted",
    "failed deletions": (
        "Released objects whose deletion failed and is tried again, when last counted"
    ),
    "orphans": "Objects that no row names, when last counted",
    "dangling": "Objects named and missing, when last counted",
}
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BYTES = tuple(4.0**power for power in range(5, 20))  # 1 KiB to 256 GiB


def instrument(
    tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> None:
    """Send spans and metrics to these providers, or to the global ones.

        instrument()

    A second call replaces the first.
    """
    tracer = get_tracer(_NAME, tracer_provider=tracer_provider)
    _replace(_Observer(tracer, get_meter(_NAME, meter_provider=meter_provider)))


def uninstrument() -> None:
    """Stop sending spans and metrics."""
    _replace(None)


class _Observer:
    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._done = {
            verb: meter.create_counter(f"{_NAME}.{name}", "{object}", says)
            for verb, (name, says) in _DONE.items()
        }
        self._counts = {
            what: meter.create_gauge(f"{_NAME}.{what.replace(' ', '_')}", "{object}", says)
            for what, says in _COUNTS.items()
        }
        self._failed = meter.create_counter(
            f"{_NAME}.failed", "{object}", "Objects not stored, copied or deleted"
        )
        self._duration = meter.create_histogram(
            f"{_NAME}.duration",
            "s",
            "Time that a storage took for one object, or for a batch of deletions",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._size = meter.create_histogram(
            f"{_NAME}.size", "By", "Sizes of objects", explicit_bucket_boundaries_advisory=_BYTES
        )

    def begin(self, task: Task) -> Callable[[], object]:
        if task.verb == "release":  # takes no time: nothing to span
            return lambda: self._measure(task)
        span = self._tracer.start_span(f"{_NAME}.{task.verb}", attributes=_asked(task))
        token = context.attach(in_context(span))
        return lambda: self._end(task, span, token)

    def count(self, what: Count, number: int, storage: str) -> None:
        self._counts[what].set(number, {"storage": storage})

    def _end(self, task: Task, span: Span, token: Token[Context]) -> None:
        context.detach(token)
        if task.source is not None:
            span.set_attribute(f"{_NAME}.source", task.source)
        if task.size is not None:
            span.set_attribute(f"{_NAME}.size", task.size)
        if task.failures:
            span.set_attribute("error.type", _kind(next(iter(task.failures.values()))))
            span.set_attribute(f"{_NAME}.failed", len(task.failures))
            span.set_status(StatusCode.ERROR)
        span.end()
        self._measure(task)

    def _measure(self, task: Task) -> None:
        where = {"storage": task.storage}
        if done := len(task.keys) - len(task.failures):
            self._done[task.verb].add(done, where)
        kinds = Counter(map(_kind, task.failures.values()))
        for kind, number in kinds.items():
            self._failed.add(number, {**where, "operation": task.verb, "error.type": kind})
        if task.duration is not None:
            self._duration.record(task.duration, {**where, "operation": task.verb})
        if task.size is not None and not task.failures:
            self._size.record(task.size, {**where, "operation": task.verb})


def _asked(task: Task) -> dict[str, str | int]:
    asked: dict[str, str | int] = {f"{_NAME}.storage": task.storage}
    if len(task.keys) == 1:
        asked[f"{_NAME}.key"] = task.keys[0]
    else:
        asked[f"{_NAME}.count"] = len(task.keys)
    return asked


def _kind(error: BaseException) -> str:
    return type(error).__qualname__


def _replace(observer: _Observer | None) -> None:
    with _lock:
        while _installed:
            observing.forget(_installed.pop())
        if observer is not None:
            _installed.append(observer)
            observing.observe(observer)


_installed: list[_Observer] = []
_lock = threading.Lock()
