"""OTEL_SDK_DISABLED=true: functions answer as ever, and nothing else happens."""

from __future__ import annotations

import pytest

from inferspan.settings import Settings

from .receiving import receiver
from .test_configure import SCORE, run

CALLS = """
import threading
from opentelemetry import trace
from inferspan.delivery import delivery_counts

assert [score(str(number)) for number in range(3_000)] == ["legit"] * 3_000
print(inferspan.label("a", 1, model="fraud"))
try:
    inferspan.label("a", 1, model="")
except ValueError:
    print("a wrong option is one all the same")
print(inferspan.flush(30), delivery_counts(), threading.active_count())
print(inferspan.label_table({"prediction_id": ["a", "b"], "actual": [1, None]}, model="fraud"))
"""
HAPPENED = [
    "None",
    "a wrong option is one all the same",
    "True {} 1",
    "0 sent, 0 refused, 1 failed, 1 without a truth yet",
    "  1 × OTEL_SDK_DISABLED is true, so nothing is sent",
]


@pytest.mark.parametrize("ratio", ["0.0", "1.0"])
def test_a_process_that_is_switched_off_does_nothing(ratio: str) -> None:
    with receiver() as server:
        done = run(
            SCORE
            + f"inferspan.configure(endpoint={server.url!r}, records='all', sample_ratio={ratio})"
            + "\ninferspan.configure(service_name='again', sample_ratio=0.5)"
            + CALLS
            + "print(trace.get_tracer_provider().force_flush())",
            OTEL_SDK_DISABLED=" True ",
        )
        assert server.clients == []
    assert done.stdout.splitlines() == [*HAPPENED, "True"]
    assert done.stderr == ""


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_without_configure_nothing_is_said_either(endpoint: str) -> None:
    done = run(SCORE + CALLS, OTEL_SDK_DISABLED="true", INFERSPAN_ENDPOINT=endpoint)
    assert done.stdout.splitlines() == HAPPENED
    assert done.stderr == ""


def test_a_wrong_setting_is_one_all_the_same() -> None:
    done = run(
        """
import inferspan
try:
    inferspan.configure(capture="some")
except ValueError as error:
    print(error)
""",
        OTEL_SDK_DISABLED="true",
    )
    assert "some" in done.stdout


@pytest.mark.parametrize(
    ("told", "disabled"),
    [("true", True), ("TRUE", True), (" true", True), ("false", False), ("1", False), ("", False)],
)
def test_it_is_read_as_opentelemetry_reads_it(told: str, disabled: bool) -> None:
    environ = {"OTEL_SDK_DISABLED": told, "INFERSPAN_ENDPOINT": "http://127.0.0.1:9"}
    read = Settings.read(environ)
    assert (read.disabled, read.labels_have_a_way) == (disabled, not disabled)
