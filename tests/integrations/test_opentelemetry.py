"""What OpenTelemetry's own SDK receives of a session's work with files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sqlalchemy.orm import Session

from sqlalchemy_file import File, observing
from sqlalchemy_file.exceptions import MissingExtraError, StorageError
from sqlalchemy_file.integrations import opentelemetry
from tests.asynchronous import add_flaky, both, delete_all, play_stories
from tests.models import Paper
from tests.scenarios.flaky import FlakyStorage


@dataclass
class Telemetry:
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.traces = TracerProvider(shutdown_on_exit=False)
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metrics = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracer = self.traces.get_tracer("test")

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        scopes = [scope for one in data.resource_metrics for scope in one.scope_metrics]
        return {
            metric.name.removeprefix("sqlalchemy_file."): list(metric.data.data_points)
            for scope in scopes
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    opentelemetry.instrument(telemetry.traces, telemetry.metrics)
    yield telemetry
    opentelemetry.uninstrument()
    telemetry.traces.shutdown()
    telemetry.metrics.shutdown()


@pytest.fixture
def storage() -> FlakyStorage:
    return add_flaky()


def play(way: str, folder: Path, telemetry: Telemetry, *stories: Callable[[Session], None]) -> None:
    """Play stories inside one span of the application."""
    span = telemetry.tracer.start_as_current_span("request")
    play_stories(way, folder, *stories, within=span)


def save_three(session: Session) -> None:
    files = [File(b"x" * number, filename="a client's own name") for number in (1, 2, 3)]
    session.add_all([Paper(body=file) for file in files])
    session.commit()


def copy_one(session: Session) -> None:
    session.add(Paper(body=session.get_one(Paper, 3).body))
    session.commit()


@both
def test_spans_of_objects_and_batches_belong_to_the_applications_own(
    way: str, tmp_path: Path, telemetry: Telemetry, storage: FlakyStorage
) -> None:
    play(way, tmp_path, telemetry, save_three, copy_one, delete_all)
    (request,) = telemetry.spans("request")
    stored = telemetry.spans("sqlalchemy_file.store")
    (copied,) = telemetry.spans("sqlalchemy_file.copy")
    (deleted,) = telemetry.spans("sqlalchemy_file.delete")
    for span in (*stored, copied, deleted):
        assert span.parent == request.context
        assert span.attributes["sqlalchemy_file.storage"] == "main"
        assert span.status.status_code is StatusCode.UNSET
    assert sorted(span.attributes["sqlalchemy_file.size"] for span in stored) == [1, 2, 3]
    assert copied.attributes["sqlalchemy_file.source"] in {
        span.attributes["sqlalchemy_file.key"] for span in stored
    }
    assert deleted.attributes["sqlalchemy_file.count"] == 4


@both
def test_metrics_count_every_object_and_name_its_storage_only(
    way: str, tmp_path: Path, telemetry: Telemetry, storage: FlakyStorage
) -> None:
    play(way, tmp_path, telemetry, save_three, copy_one, delete_all)
    points = telemetry.points()
    where = {"storage": "main"}
    for name, number in (("stored", 3), ("copied", 1), ("released", 4), ("deleted", 4)):
        assert [(dict(each.attributes), each.value) for each in points[name]] == [(where, number)]
    assert "failed" not in points
    durations = {each.attributes["operation"]: each.count for each in points["duration"]}
    assert durations == {"store": 3, "copy": 1, "delete": 1}
    sizes = {each.attributes["operation"]: each.sum for each in points["size"]}
    assert sizes == {"store": 6, "copy": 3}


@both
def test_failures_are_counted_by_their_kind_and_tell_no_names(
    way: str, tmp_path: Path, telemetry: Telemetry, storage: FlakyStorage
) -> None:
    def fail_to_save(session: Session) -> None:
        storage.fail("put", at=2)
        with pytest.raises(StorageError):
            save_three(session)
        storage.mend()

    def fail_to_delete(session: Session) -> None:
        storage.fail("delete", at=1)
        delete_all(session)

    play(way, tmp_path, telemetry, fail_to_save, save_three, fail_to_delete)
    failed = {each.attributes["operation"]: each for each in telemetry.points()["failed"]}
    assert {operation: each.value for operation, each in failed.items()} == {
        "store": 1,
        "delete": 1,
    }
    assert failed["store"].attributes["error.type"] == "StorageError"
    spans = telemetry.exporter.get_finished_spans()
    broken = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert sorted(span.name.partition(".")[2] for span in broken) == ["delete", "store"]
    assert all(span.attributes["sqlalchemy_file.failed"] == 1 for span in broken)
    assert "a client's own name" not in "".join(span.to_json() for span in spans)


def test_counts_to_alarm_on_are_gauges(telemetry: Telemetry) -> None:
    observing.counted("orphans", 5, "main")
    observing.counted("orphans", 2, "main")
    observing.counted("dangling", 0, "main")
    observing.counted("pending releases", 7, "main")
    points = telemetry.points()
    assert {name: points[name][0].value for name in points} == {
        "orphans": 2,
        "dangling": 0,
        "pending_releases": 7,
    }


def test_instrumenting_again_reports_once_and_uninstrumenting_nothing(
    tmp_path: Path, telemetry: Telemetry, storage: FlakyStorage
) -> None:
    opentelemetry.instrument(telemetry.traces, telemetry.metrics)
    play("Session", tmp_path, telemetry, save_three)
    assert len(telemetry.spans("sqlalchemy_file.store")) == 3
    opentelemetry.uninstrument()
    play("Session", tmp_path, telemetry, save_three)
    assert len(telemetry.spans("sqlalchemy_file.store")) == 3


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sqlalchemy_file.integrations.opentelemetry")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match=r"sqlalchemy-file\[otel\]"):
        import sqlalchemy_file.integrations.opentelemetry  # noqa: F401
