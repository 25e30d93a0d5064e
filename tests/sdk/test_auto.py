"""What a provider that is there already does not follow; `opentelemetry-instrument` for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferspan.answers import undelivered

from .receiving import receiver

INSTRUMENTED = (Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable)
APPLICATION = """
import inferspan
from inferspan import settings

@inferspan.predict(model="m", task="regression")
def score():
    return 1.0

print(score())
told = settings.current()
print(told.capture, told.records, told.sample_ratio, told.id_key, told.own_endpoint)
"""


def run(
    command: tuple[str | Path, ...], program: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    exporters = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"
    )
    done = subprocess.run(
        [*command, "-c", program],
        env={**os.environ, **exporters, "INFERSPAN_RECORDS": "none", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_wrong_variable_is_an_error_in_the_log_and_counts_as_absent() -> None:
    done = run(
        INSTRUMENTED,
        APPLICATION,
        INFERSPAN_CAPTURE="all",
        INFERSPAN_KEEP="sometimes",
        INFERSPAN_ID_KEY="secret",
        INFERSPAN_ENDPOINT="http://127.0.0.1:1",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
    )
    # The others stay in force: ids must not leave unkeyed because of a slip elsewhere.
    assert done.stdout.splitlines() == ["1.0", "shapes none 0.5 b'secret' http://127.0.0.1:1"]
    said = [line for line in done.stderr.splitlines() if line.startswith("inferspan: INFERSPAN_")]
    assert said == [
        "inferspan: INFERSPAN_CAPTURE is 'all': must be one of shapes, values, none. "
        "It counts as absent.",
        "inferspan: INFERSPAN_KEEP is 'sometimes': must be one of error, slow, low_confidence. "
        "It counts as absent.",
    ]
    assert "Traceback" not in done.stderr


def test_an_unknown_option_of_a_library_is_said_in_one_sentence() -> None:
    done = run(INSTRUMENTED, "import sklearn", INFERSPAN_INSTRUMENT='{"sklearn": {"modell": "m"}}')
    (line,) = (line for line in done.stderr.splitlines() if "INFERSPAN_INSTRUMENT" in line)
    assert "modell" in line
    assert ".. " not in line
    assert line.endswith(". It counts as absent.")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("INFERSPAN_SAMPLE_RATIO", "0.1", "OTEL_TRACES_SAMPLER=parentbased_traceidratio"),
        ("INFERSPAN_KEEP", "error", "configure() builds with a ratio"),
    ],
)
def test_what_needs_our_provider_is_said_once(variable: str, value: str, remedy: str) -> None:
    twice = APPLICATION + "inferspan.configure()\n"
    lines = run(INSTRUMENTED, twice, **{variable: value}).stderr.splitlines()
    (line,) = [line for line in lines if "has no effect" in line]
    assert line.startswith(f"inferspan: {variable} has no effect: a TracerProvider is installed")
    assert remedy in line


def test_without_such_variables_nothing_is_said() -> None:
    assert run(INSTRUMENTED, APPLICATION).stderr == ""


def test_what_an_existing_provider_does_not_follow_is_said() -> None:
    done = run(
        (sys.executable,),
        """
import inferspan
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
inferspan.configure(service_name="ours", sample_ratio=0.1, keep=["slow"], records="none")
""",
        INFERSPAN_SAMPLE_RATIO="0.5",
    )
    arguments, variable = done.stderr.splitlines()
    assert "configure(service_name=…, sample_ratio=…, keep=…): a TracerProvider" in arguments
    assert "(service_name: for labels and slim records only; " in arguments
    assert "sample_ratio, keep: without effect)" in arguments
    assert variable.startswith("inferspan: INFERSPAN_SAMPLE_RATIO has no effect")


def test_under_our_own_provider_what_is_kept_may_be_said_anew() -> None:
    done = run(
        (sys.executable,),
        """
import inferspan
inferspan.configure(sample_ratio=0.1, endpoint="http://127.0.0.1:1")
inferspan.configure(keep=["slow"])
inferspan.configure(sample_ratio=0.2)
""",
        INFERSPAN_KEEP="error",
    )
    (line,) = done.stderr.splitlines()
    assert "configure(sample_ratio=…): a TracerProvider" in line
    assert "(sample_ratio: without effect)" in line


def test_grpc_to_a_port_of_http_is_said_to_be_so() -> None:
    program = """
import os
import inferspan
inferspan.label("a", 1, model="m")
print(inferspan.flush(timeout=2))
table = {"prediction_id": ["b"], "actual": [1]}
print(inferspan.label_table(table, model="m"))
os._exit(0)
"""
    with receiver() as http:
        done = run(
            INSTRUMENTED,
            program,
            OTEL_EXPORTER_OTLP_ENDPOINT=http.url,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
        )
        assert http.requests == []
    advice = "You are sending gRPC; for an HTTP port set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    assert any(
        line.startswith("inferspan: could") and advice in line for line in done.stderr.splitlines()
    )
    assert done.stdout.startswith("False")
    assert advice in done.stdout


def test_what_went_over_http_is_not_called_grpc() -> None:
    assert "You are sending gRPC" not in undelivered("http://127.0.0.1:1")
