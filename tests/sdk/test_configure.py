"""`configure` and `flush`, in processes of their own, against a real OTLP receiver."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

import inferspan
from inferspan import exporters, semconv, settings
from inferspan.settings import Settings

from .receiving import Receiver, attributes_of, receiver


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter, where no global provider is set yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


SCORE = """
import inferspan
@inferspan.predict(model="fraud", version="7", task="binary_classification", prediction_id="key")
def score(key):
    return "legit"
"""


def test_one_line_sends_predictions_and_labels(server: Receiver) -> None:
    done = run(
        SCORE
        + f"""
inferspan.configure(service_name="fraud-api", service_version="1.2", environment="test",
                    endpoint={server.url!r})
score("order-17")
inferspan.label("order-17", "fraud", model="fraud")
print(inferspan.flush(timeout=30))
print(inferspan.label_table({{"prediction_id": ["a"], "actual": [1]}}, model="fraud"))
"""
    )
    assert done.stdout.split() == ["True", "1", "sent,", "0", "refused,", "0", "failed"]
    assert done.stderr == ""
    assert {path for path, _ in server.requests} == {"/v1/traces"}
    ((resource, prediction),) = server.spans(semconv.SCOPE_PREDICTIONS)
    assert resource[semconv.SERVICE_NAME] == "fraud-api"
    assert resource[semconv.SERVICE_VERSION] == "1.2"
    assert resource[semconv.DEPLOYMENT_ENVIRONMENT_NAME] == "test"
    assert attributes_of(prediction)[semconv.PREDICTION_ID] == "order-17"
    labels = server.spans(semconv.SCOPE_LABELS)
    assert [attributes_of(span)[semconv.PREDICTION_ID] for _, span in labels] == ["order-17", "a"]
    assert all(resource[semconv.SERVICE_NAME] == "fraud-api" for resource, _ in labels)
    assert all(resource[semconv.DEPLOYMENT_ENVIRONMENT_NAME] == "test" for resource, _ in labels)


def test_leaving_sends_what_waits(server: Receiver) -> None:
    run(
        SCORE
        + f"""
inferspan.configure(endpoint={server.url!r})
score("order-17")
inferspan.label("order-17", "fraud", model="fraud")
"""
    )
    assert len(server.spans(semconv.SCOPE_PREDICTIONS)) == 1
    assert len(server.spans(semconv.SCOPE_LABELS)) == 1


def test_the_environment_says_where(server: Receiver) -> None:
    script = SCORE + "inferspan.configure()\nscore('a')\ninferspan.label('a', 1, model='fraud')\n"
    run(script, OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_SERVICE_NAME="from-otel")
    ((resource, _),) = server.spans(semconv.SCOPE_PREDICTIONS)
    assert resource[semconv.SERVICE_NAME] == "from-otel"
    assert len(server.spans(semconv.SCOPE_LABELS)) == 1
    with receiver() as own:
        run(script, OTEL_EXPORTER_OTLP_ENDPOINT=server.url, INFERSPAN_ENDPOINT=own.url + "/")
        assert len(server.spans(semconv.SCOPE_PREDICTIONS)) == 2
        assert len(server.spans(semconv.SCOPE_LABELS)) == 1
        assert own.spans(semconv.SCOPE_PREDICTIONS) == []
        assert len(own.spans(semconv.SCOPE_LABELS)) == 1
    with receiver() as own:
        run(script, INFERSPAN_ENDPOINT=own.url)
        assert len(own.spans(semconv.SCOPE_PREDICTIONS)) == 1
        assert len(own.spans(semconv.SCOPE_LABELS)) == 1


def test_labels_alone_need_no_configure(server: Receiver) -> None:
    run(
        "import inferspan\ninferspan.label('a', 1, model='fraud')\n",
        INFERSPAN_ENDPOINT=server.url,
    )
    assert len(server.spans(semconv.SCOPE_LABELS)) == 1


def test_without_a_way_nothing_is_sent_and_each_is_said_once() -> None:
    done = run(
        SCORE
        + """
for _ in range(3):
    assert score("a") == "legit"
    assert inferspan.label("a", 1, model="fraud") is None
assert not inferspan.flush()  # what had nowhere to go is lost
assert inferspan.flush()
import threading
assert threading.active_count() == 1
"""
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "predictions are not recorded. Call inferspan.configure(" in lines[0]
    assert "labels go, so they are dropped. Set INFERSPAN_ENDPOINT" in lines[1]


def test_an_existing_provider_is_used_as_it_is(server: Receiver) -> None:
    run(
        """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
        + SCORE
        + f"""
score("before")
inferspan.configure(service_name="ours", endpoint={server.url!r})
score("after")
inferspan.label("after", "fraud", model="fraud")
assert trace.get_tracer_provider() is provider
spans = exporter.get_finished_spans()
assert [s.attributes["inferspan.prediction.id"] for s in spans] == ["before", "after"]
assert {{s.resource.attributes["service.name"] for s in spans}} == {{"theirs"}}
"""
    )
    assert server.spans(semconv.SCOPE_PREDICTIONS) == []
    ((resource, _),) = server.spans(semconv.SCOPE_LABELS)
    assert resource[semconv.SERVICE_NAME] == "ours"


def test_a_copy_without_its_metadata_works_too(server: Receiver) -> None:
    run(
        """
import importlib.metadata as metadata
installed = metadata.version
def version(name):
    if name == "inferspan":  # frozen, or copied into another package
        raise metadata.PackageNotFoundError(name)
    return installed(name)
metadata.version = version
"""
        + SCORE
        + f"""
inferspan.configure(endpoint={server.url!r})
score("order-1")
inferspan.label("order-1", "legit", model="fraud")
assert inferspan.flush(timeout=30)
"""
    )
    assert len(server.spans(semconv.SCOPE_PREDICTIONS)) == 1
    assert len(server.spans(semconv.SCOPE_LABELS)) == 1


def test_flush_keeps_its_time_and_says_what_failed(server: Receiver) -> None:
    server.release.clear()
    done = run(
        f"""
import os, time, inferspan
inferspan.configure(endpoint={server.url!r})
inferspan.label("a", 1, model="m")
begun = time.monotonic()
print(inferspan.flush(timeout=0.2), time.monotonic() - begun < 10, flush=True)
os._exit(0)  # what waits at exit is not of interest here
"""
    )
    assert done.stdout.split() == ["False", "True"]
    with receiver(status=400) as refusing:
        done = run(
            f"""
import logging, inferspan
logging.disable()
inferspan.configure(endpoint={refusing.url!r})
inferspan.label("a", 1, model="m")
print(inferspan.flush(timeout=30))
table = {{"prediction_id": ["a", "b"], "actual": [1, 0]}}
print(inferspan.label_table(table, model="m"))
"""
        )
    unsent, counts, reason = done.stdout.splitlines()
    assert (unsent, counts) == ("False", "0 sent, 0 refused, 2 failed")
    url = f"{refusing.url}/v1/traces"
    assert reason.startswith(f"  2 × could not deliver to {url}: is `inferspan serve` running")


def test_flush_knows_of_each_loss() -> None:
    done = run(
        SCORE
        + """
score("a")
print(inferspan.flush(), inferspan.flush())
inferspan.label("a", 1, model="fraud")
print(inferspan.flush(), inferspan.flush())
"""
    )
    assert done.stdout.split() == ["False", "True"] * 2
    with receiver(status=400) as refusing:
        done = run(
            f"""
import logging, inferspan
from inferspan import providers
logging.disable()
inferspan.configure(endpoint={refusing.url!r})
inferspan.label("a", 1, model="m")
providers.state.labels.force_flush()  # the failure is over when flush() is called
print(inferspan.flush(timeout=30), inferspan.flush(timeout=30))
"""
        )
    assert done.stdout.split() == ["False", "True"]


def test_what_was_configured_stays_unless_said_anew(server: Receiver) -> None:
    with receiver() as anew:
        done = run(
            SCORE
            + f"""
inferspan.configure(service_name="first", environment="test", capture="none",
                    endpoint={server.url!r})
inferspan.configure(service_name="first")
print(inferspan.flush(30))
inferspan.configure(service_name="second")
inferspan.label("one", 1, model="fraud")
print(inferspan.flush(30))
inferspan.configure(endpoint={anew.url!r})
score("two")
inferspan.label("two", 1, model="fraud")
print(inferspan.flush(30))
"""
        )
        moved = anew.spans(semconv.SCOPE_LABELS)
        assert anew.spans(semconv.SCOPE_PREDICTIONS) == []
    assert done.stdout.split() == ["True"] * 3
    (line,) = done.stderr.splitlines()
    assert "configure(service_name=…): a TracerProvider is installed already" in line
    ((label, _),) = server.spans(semconv.SCOPE_LABELS)
    ((prediction, span),) = server.spans(semconv.SCOPE_PREDICTIONS)
    assert label[semconv.SERVICE_NAME] == "second"
    assert prediction[semconv.SERVICE_NAME] == "first"
    assert attributes_of(span)[semconv.CAPTURE_POLICY] == "none"
    for resource in (label, prediction, moved[0][0]):
        assert resource[semconv.DEPLOYMENT_ENVIRONMENT_NAME] == "test"
    assert moved[0][0][semconv.SERVICE_NAME] == "second"


@pytest.mark.parametrize("status", [None, 404], ids=["nobody", "another port"])
def test_that_nobody_takes_spans_is_said_once_and_in_our_words(status: int | None) -> None:
    with receiver(status=status or 200) as running:
        url = running.url if status else "http://127.0.0.1:1"
        done = run(
            f"""
import inferspan
inferspan.configure(endpoint="{url.replace("//", "//me:secret@")}")
inferspan.label("a", 1, model="m")
print(inferspan.flush(timeout=1))
import os
os._exit(0)
"""
        )
    assert done.stdout.split() == ["False"]
    (ours,) = done.stderr.splitlines()
    assert ours.startswith(f"inferspan: could not deliver to {url}/v1/traces: is `inferspan serve`")
    assert "4317 is gRPC, 4319 the API" in ours
    assert ours.endswith("(HTTP 404)" if status else "(ConnectionError)")


def test_loading_inferspan_loads_no_client_and_no_event_loop() -> None:
    run(
        """
import sys, inferspan
later = ("asyncio", "grpc", "multiprocessing", "requests", "wrapt")
assert [name for name in later if name in sys.modules] == []
"""
    )


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://localhost:4318"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:1"}, "http://otel:1"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:1",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://otel:2/v1/traces",
            },
            "http://otel:2/v1/traces",
        ),
        ({"INFERSPAN_ENDPOINT": "http://own:3"}, "http://own:3/v1/traces"),
    ],
)
def test_messages_name_the_receiver_of_labels(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert exporters.labels_receiver() == url


def test_a_busy_receiver_is_not_called_absent() -> None:
    with receiver(status=503) as busy:
        done = run(
            f"""
import inferspan, os
inferspan.configure(endpoint={busy.url!r})
inferspan.label("a", 1, model="m")
print(inferspan.flush(timeout=0.5))
os._exit(0)
"""
        )
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"inferspan: {busy.url}/v1/traces asks to be tried again (HTTP 503)")


def test_a_forked_child_sends_its_own(server: Receiver) -> None:
    run(
        SCORE
        + f"""
import os
inferspan.configure(endpoint={server.url!r})
score("parent")
child = os.fork()
if child == 0:
    score("child")
    inferspan.label("child", 1, model="fraud")
    assert inferspan.flush(30)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
inferspan.label("parent", 1, model="fraud")
"""
    )
    spans = [span for _, span in server.spans(semconv.SCOPE_PREDICTIONS)]
    assert sorted(attributes_of(s)[semconv.PREDICTION_ID] for s in spans) == ["child", "parent"]
    labels = [span for _, span in server.spans(semconv.SCOPE_LABELS)]
    assert len({attributes_of(s)[semconv.LABEL_ID] for s in labels}) == len(labels) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"endpoint": "localhost:4318"}, r"configure\(endpoint=…\) is 'localhost:4318': must be"),
        ({"endpoint": "http://"}, "such as http://127.0.0.1:4318"),
        ({"endpoint": "http://localhost:4318/?x=1"}, "without query"),
        ({"endpoint": "http://localhost:99999"}, "without query"),
        ({"capture": "everything"}, "must be one of shapes, values, none"),
        ({"endpoint": 4318}, r"configure\(endpoint=…\) is 4318: must be the http"),
        ({"service_name": " "}, r"configure\(service_name=' '\): must be a text that is not empty"),
        ({"service_version": 7}, r"configure\(service_version=7\): must be a text .* write serv"),
        ({"environment": "prod\n"}, "holds a control character, such as a line break; strip it"),
        ({"service_name": "two\tparts"}, "holds a control character, .*; leave it out"),
        ({"environment": ""}, "must be a text that is not empty; leave it out"),
    ],
)
def test_wrong_arguments_are_said(arguments: dict[str, str], said: str) -> None:
    before = settings.current()
    with pytest.raises(ValueError, match=said):
        inferspan.configure(**arguments)  # type: ignore[arg-type]
    assert settings.current() is before


def test_a_wrong_environment_names_the_variable() -> None:
    with pytest.raises(ValueError, match="INFERSPAN_ENDPOINT is 'ftp://x'"):
        Settings.read({"INFERSPAN_ENDPOINT": "ftp://x"})


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings.read({"INFERSPAN_ID_KEY": "secret"}))
