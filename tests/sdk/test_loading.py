"""What importing, decorating and configuring load, and what they leave to whoever uses it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HTTP, GRPC, QUEUES = "requests", "grpc", "inferspan.span_queue"
OF_OTHERS = ("wrapt", "asyncio", "inferspan.labels", "inferspan.references", "inferspan.streams")
OWN = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
"""
IMPORTED = "import inferspan\n"
DECORATED = IMPORTED + "score = inferspan.predict(model='m', task='regression')(lambda x: 0.5)\n"
CALLED = DECORATED + "score(1.0)\n"
CONFIGURED = IMPORTED + "inferspan.configure()\n"


def loaded(program: str, **environment: str) -> set[str]:
    """The modules that a program of its own has loaded at its end."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        env={**bare, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_importing_loads_nothing_that_a_later_step_may_not_need() -> None:
    assert loaded(IMPORTED).isdisjoint({HTTP, GRPC, QUEUES, *OF_OTHERS})


def test_who_has_a_provider_and_nowhere_to_send_labels_loads_no_exporter() -> None:
    assert loaded(OWN + CALLED).isdisjoint({HTTP, GRPC, QUEUES})


@pytest.mark.parametrize(
    ("program", "environment", "client"),
    [
        (DECORATED, {"INFERSPAN_ENDPOINT": "http://127.0.0.1:1"}, HTTP),
        (DECORATED, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, HTTP),
        (
            DECORATED,
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            GRPC,
        ),
        (CONFIGURED, {}, HTTP),
        (OWN + CONFIGURED, {}, HTTP),
    ],
    ids=["own variable", "otlp", "otlp over grpc", "configured", "configured beside a provider"],
)
def test_before_the_first_call_it_is_loaded_what_records_leave_through(
    program: str, environment: dict[str, str], client: str
) -> None:
    found = loaded(program, **environment)
    assert {client, QUEUES} <= found
    assert ({HTTP, GRPC} - {client}).isdisjoint(found)


def test_a_call_and_what_is_asked_in_it_load_nothing_more() -> None:
    program = (
        DECORATED.replace("lambda x: 0.5", "lambda x: inferspan.current_prediction() and 0.5")
        + "score(1.0)\n"
    )
    way = {"INFERSPAN_ENDPOINT": "http://127.0.0.1:1"}
    ratio = {"OTEL_TRACES_SAMPLER": "always_off"}
    for provider in ("", OWN):
        before = loaded(provider + DECORATED, **way, **ratio)
        # Of others neither: a child that is forked meanwhile would wait for them for ever, too.
        assert loaded(provider + program, **way, **ratio) <= before
