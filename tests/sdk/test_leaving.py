"""A process ends in bounded time whatever its backend does, and children hand over their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from inferspan import semconv

from .receiving import Receiver, attributes_of, receiver
from .test_configure import SCORE, run

ENDS_WITHIN_SECONDS = 10
"""Far more than the promised five: a machine that is busy must not fail a test."""

WAITING = (
    SCORE
    + """
inferspan.configure()
for number in range(300):
    score(str(number))
    inferspan.label(str(number), "legit", model="fraud")
print("ending", flush=True)
"""
)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def ids(server: Receiver, scope: str) -> list[str]:
    return sorted(attributes_of(span)[semconv.PREDICTION_ID] for _, span in server.spans(scope))


def test_a_process_ends_in_time_whatever_its_backend_does() -> None:
    with receiver(status=503) as busy, socket.create_server(("127.0.0.1", 0)) as hole:
        # A backlog that nobody accepts from is a connection that nobody answers.
        unanswered = f"http://127.0.0.1:{hole.getsockname()[1]}"
        nobody = "http://127.0.0.1:1"
        grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        backends: list[tuple[str, dict[str, str]]] = [
            (nobody, {}),
            (unanswered, {}),
            (busy.url, {}),
            (nobody, grpc),
            (unanswered, grpc),
        ]
        ending = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", WAITING],
                env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **more},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for url, more in backends
        ]
        try:
            for process in ending:
                assert process.stdout is not None
                assert process.stdout.readline() == "ending\n"
            said = [process.communicate(timeout=ENDS_WITHIN_SECONDS)[1] for process in ending]
        finally:
            for process in ending:
                process.kill()
                process.wait()
    assert [process.returncode for process in ending] == [0] * len(backends)
    for lines in said:
        (line,) = re.findall("^inferspan: .* not delivered .*$", lines, re.MULTILINE)
        assert "lost 300 prediction spans and 300 labels, not delivered within 4 s" in line
    # That nobody is there is said over either protocol.
    for lines in (said[0], said[3]):
        assert (
            len(re.findall("^inferspan: could not deliver to http://127.0.0.1:1", lines, re.M)) == 1
        )


def test_a_process_of_multiprocessing_hands_over_what_waits(server: Receiver) -> None:
    run(
        SCORE
        + f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
inferspan.configure(endpoint={server.url!r})
score("parent")
context = multiprocessing.get_context("fork")
children = [context.Process(target=score, args=(f"process {{n}}",)) for n in range(3)]
for child in children:
    child.start()
for child in children:
    child.join()
with ProcessPoolExecutor(2, mp_context=context) as pool:
    list(pool.map(score, [f"executor {{n}}" for n in range(10)]))
pool = context.Pool(2)
pool.map(score, [f"pool {{n}}" for n in range(10)])
pool.close()
pool.join()
inferspan.label("parent", 1, model="fraud")
"""
    )
    assert ids(server, semconv.SCOPE_PREDICTIONS) == sorted(
        ["parent"]
        + [f"process {n}" for n in range(3)]
        + [f"executor {n}" for n in range(10)]
        + [f"pool {n}" for n in range(10)]
    )
    assert ids(server, semconv.SCOPE_LABELS) == ["parent"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_was_not_forked_configures_itself(
    server: Receiver, method: str, tmp_path: object
) -> None:
    script = os.path.join(str(tmp_path), "application.py")
    with open(script, "w") as file:
        file.write(
            SCORE
            + f"""
import multiprocessing
def work(key):
    inferspan.configure(endpoint={server.url!r})
    return score(key)
if __name__ == "__main__":
    child = multiprocessing.get_context({method!r}).Process(target=work, args=("child",))
    child.start()
    child.join()
    assert child.exitcode == 0
    work("parent")
"""
        )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(server, semconv.SCOPE_PREDICTIONS) == ["child", "parent"]


def test_a_child_repeats_nothing_of_what_waits_in_its_parent(server: Receiver) -> None:
    done = run(
        SCORE
        + f"""
import os
from inferspan.delivery import delivery_counts
inferspan.configure(endpoint={server.url!r})
inferspan.label("before", 1, model="fraud")
inferspan.configure(endpoint={server.url!r})  # ends the queue of that label
for number in range(50):
    score(f"parent {{number}}")
    inferspan.label(f"parent {{number}}", 1, model="fraud")
children = []
for which in range(4):
    children.append(os.fork())
    if not children[-1]:
        assert [counts["handed"] for counts in delivery_counts().values()] == [0, 0]
        for number in range(50):
            score(f"child {{which}} {{number}}")
            inferspan.label(f"child {{which}} {{number}}", 1, model="fraud")
        assert inferspan.flush(30)
        os._exit(0)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert "inferspan:" not in done.stderr
    processes = ["parent", *(f"child {which}" for which in range(4))]
    expected = sorted(f"{process} {number}" for process in processes for number in range(50))
    assert ids(server, semconv.SCOPE_PREDICTIONS) == expected
    assert ids(server, semconv.SCOPE_LABELS) == ["before", *expected]


def test_a_child_uses_a_connection_of_its_own(server: Receiver) -> None:
    run(
        SCORE
        + f"""
import os
inferspan.configure(endpoint={server.url!r})
score("parent")
assert inferspan.flush(30)  # its connection stays open
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    score("parent again")
    assert inferspan.flush(30)
else:
    score("child")
    assert inferspan.flush(30)
    os._exit(0)
"""
    )
    assert ids(server, semconv.SCOPE_PREDICTIONS) == ["child", "parent", "parent again"]
    parent, child, again = server.clients
    parent, child, again = server.clients
    assert parent == again != child


def test_locks_that_a_vanished_thread_held_are_renewed(server: Receiver) -> None:
    # Every lock of ours is held by another thread while the process forks.
    run(
        SCORE
        + f"""
import os, threading
from inferspan import delivery, providers
from inferspan.containment import errors
inferspan.configure(endpoint={server.url!r})
score("parent")
inferspan.label("parent", 1, model="fraud")
locks = [providers.state.lock, delivery._registry.lock, errors._lock]
locks += [queue._lock for queue in delivery.queues()]
assert len(locks) == 5
held, release = threading.Event(), threading.Event()
def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    release.wait(60)
    for lock in reversed(locks):
        lock.release()
holder = threading.Thread(target=hold)
holder.start()
assert held.wait(60)
child = os.fork()
if not child:
    import signal
    signal.alarm(30)  # a lock that is not renewed is never released
    errors.warn_once("child", "inferspan: the child logs")
    score("child")
    inferspan.label("child", 1, model="fraud")
    assert inferspan.flush(20)
    assert delivery.delivery_counts()["labels"]["sent"] == 1
    os._exit(0)
release.set()
holder.join()
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert ids(server, semconv.SCOPE_PREDICTIONS) == ["child", "parent"]
    assert ids(server, semconv.SCOPE_LABELS) == ["child", "parent"]


def test_what_says_who_a_process_is_follows_it(server: Receiver) -> None:
    done = run(
        SCORE
        + f"""
import os
inferspan.configure(endpoint={server.url!r})
score("parent")
inferspan.label("parent", 1, model="fraud")
child = os.fork()
if not child:
    score("child")
    inferspan.label("child", 1, model="fraud")
    assert inferspan.flush(30)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(os.getpid(), child)
""",
        OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process",
    )
    parent, child = map(int, done.stdout.split())
    for scope in (semconv.SCOPE_PREDICTIONS, semconv.SCOPE_LABELS):
        assert {
            attributes_of(span)[semconv.PREDICTION_ID]: resource["process.pid"]
            for resource, span in server.spans(scope)
        } == {"parent": parent, "child": child}


def test_processors_that_others_added_end_too(server: Receiver) -> None:
    done = run(
        SCORE
        + f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
inferspan.configure(endpoint={server.url!r})
class Theirs(SpanProcessor):
    def shutdown(self):
        print("ended", flush=True)
trace.get_tracer_provider().add_span_processor(Theirs())
score("a")
"""
    )
    assert done.stdout == "ended\n"
    assert ids(server, semconv.SCOPE_PREDICTIONS) == ["a"]


def test_a_short_script_without_a_provider_leaves_its_records(server: Receiver) -> None:
    run(SCORE + "score('order-17')\n", OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    ((_, record),) = server.spans(semconv.SCOPE_RECORDS)
    assert attributes_of(record)[semconv.RECORD_COUNT] == 1


AT_EXIT = """
import atexit, os, threading
import inferspan

@inferspan.predict(model="fraud", task="regression")
def last(amount: float) -> float:
    return amount

def end() -> None:
    last(1.0)
    inferspan.label("order-17", 1.0, model="fraud")

if WHEN == "before":
    atexit.register(end)
if PROVIDER == "another's":
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
inferspan.configure(sample_ratio=0 if PROVIDER == "ours, unsampled" else None)
if WHEN == "later":
    last(2.0)
    inferspan.flush()
if WHEN != "before":
    atexit.register(end)
"""


@pytest.mark.parametrize("when", ["before", "after", "later"])
@pytest.mark.parametrize("provider", ["ours", "ours, unsampled", "another's"])
def test_what_is_predicted_in_a_handler_at_the_end_is_sent(
    provider: str, when: str, server: Receiver
) -> None:
    program = f"PROVIDER, WHEN = {provider!r}, {when!r}\n{AT_EXIT}"
    run(program, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    labels = [attributes_of(span) for _, span in server.spans(semconv.SCOPE_LABELS)]
    assert [label[semconv.PREDICTION_ID] for label in labels] == ["order-17"]
    if provider == "ours":
        predictions = len(server.spans(semconv.SCOPE_PREDICTIONS))
    else:
        records = [attributes_of(span) for _, span in server.spans(semconv.SCOPE_RECORDS)]
        predictions = sum(record[semconv.RECORD_COUNT] for record in records)
    assert predictions == 1 + (when == "later")


def test_where_no_thread_can_begin_the_end_of_the_process_sends(server: Receiver) -> None:
    """As at the interpreter's end from Python 3.12 on; here a stack that no memory is left for."""
    program = SCORE + (
        "inferspan.configure()\n"
        "import threading\n"
        "threading.stack_size((1 << 47) - (1 << 16))\n"
        "score('order-17')\n"
    )
    run(program, OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    assert ids(server, semconv.SCOPE_PREDICTIONS) == ["order-17"]
