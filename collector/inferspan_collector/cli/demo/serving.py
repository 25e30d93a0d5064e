"""The hospitals' model server, in a process of its own: `python -m …serving ASSIGNMENT`.

This is what a user of inferspan writes: one decorator, stages, a snapshot. It knows nothing of
labels. Each prediction is told to the demo as a line of JSON on standard output.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sklearn.pipeline import Pipeline

import inferspan
from inferspan import semconv
from inferspan_collector.cli.demo import clinic, names
from inferspan_collector.cli.demo.clinic import Floats, Plan

FLUSH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the demo tells this process."""

    seconds: int
    seed: int
    run: str
    """Prefix of prediction ids, so that two demos against one collector do not mix."""
    start_ns: int
    """The clinic's minute 0, Unix ns."""
    jaeger: str | None
    """Jaeger's OTLP/HTTP endpoint, or None."""

    def prediction_id(self, visit: int) -> str:
        """The id by which a visit's label finds its prediction."""
        return f"{self.run}-{visit:05d}"

    def event_time_ns(self, plan: Plan, visit: int) -> int:
        """When the visit takes place in the replay, Unix ns."""
        return self.start_ns + visit * plan.minutes * 60_000_000_000 // plan.visits

    def to_json(self) -> str:
        """As this process's one argument."""
        return json.dumps(asdict(self))


Screen = Callable[[str, str, int, str, Floats], dict[str, Any]]


def screening(pipeline: Pipeline, version: str) -> Screen:
    """Serve one version of the model.

    Version 1 fills in whatever it does not find by its name. Version 2 knows both names.
    """
    means = pipeline[0].mean_

    @inferspan.predict(
        model=names.MODEL,
        version=version,
        task=semconv.BINARY,
        positive=names.POSITIVE,
        prediction_id="visit",
        slices=["hospital"],
    )
    def screen(
        visit: str, hospital: str, time_ns: int, columns: str, measurements: Floats
    ) -> dict[str, Any]:
        # A replay: figures belong to the time of the visit, not to that of the call.
        trace.get_current_span().set_attribute(semconv.EVENT_TIME_UNIX_NANO, time_ns)
        with inferspan.stage("features"):
            features = measurements[: clinic.MEASUREMENTS].copy()
        # What is not there by its name is filled in: nothing fails, nothing is slower.
        if version == "1" and columns == "new":
            features = clinic.filled_in(features, means)
        with inferspan.stage("scale"):
            scaled = pipeline[0].transform(features[None, :])
        inferspan.snapshot("scaled", scaled)
        with inferspan.stage("classify"):
            probability = pipeline[1].predict_proba(scaled)[0]
            malignant = float(probability[list(pipeline.classes_).index(names.POSITIVE)])
        label = names.CLASSES[malignant > 0.5]
        return {"label": label, "score": malignant}

    return screen


def serve_visits(assignment: Assignment) -> None:
    """Serve every visit of the plan, at its time."""
    plan = Plan(assignment.seconds, assignment.seed)
    pipeline = clinic.train(clinic.load_patients())
    versions = {version: screening(pipeline, version) for version in ("1", "2")}
    pause = threading.Event()
    tell(serving=True)
    began = time.monotonic()
    served = "1"
    for visit in range(plan.visits):
        pause.wait(max(0.0, began + visit / clinic.VISITS_PER_SECOND - time.monotonic()))
        version = plan.version(visit)
        if version != served:
            # The old version's last spans leave with its process; here it shares ours.
            inferspan.flush(timeout=FLUSH_SECONDS)
            tell(deployed=version)
            served = version
        answer = versions[version](
            assignment.prediction_id(visit),
            plan.hospital(visit),
            assignment.event_time_ns(plan, visit),
            plan.names(visit),
            plan.measurements(visit),
        )
        tell(visit=visit, predicted=answer["label"])
    tell(flushed=inferspan.flush(timeout=FLUSH_SECONDS))


def tell(**fields: object) -> None:
    """Tell the demo, one line of JSON."""
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Read the assignment, connect, serve."""
    assignment = Assignment(**json.loads(sys.argv[1]))
    inferspan.configure(service_name=names.SERVICE)
    provider = trace.get_tracer_provider()
    if assignment.jaeger and isinstance(provider, TracerProvider):
        exporter = OTLPSpanExporter(f"{assignment.jaeger.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    serve_visits(assignment)


if __name__ == "__main__":
    main()
