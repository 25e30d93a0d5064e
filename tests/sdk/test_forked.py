"""Processes that fork while threads of ours work: the child waits for none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferspan import semconv

from .receiving import attributes_of, receiver
from .test_configure import run

WATCHED = """
import sys, threading

imported = []

def watch(event, arguments):
    if event == "import" and threading.current_thread() is not threading.main_thread():
        imported.append((threading.current_thread().name, arguments[0]))

sys.addaudithook(watch)

import inferspan
from inferspan.delivery import delivery_counts
from waiting import wait_until

inferspan.configure(endpoint=ENDPOINT, sample_ratio=0.5, keep=["error", "slow", "low_confidence"])

@inferspan.predict(
    model="fraud", task="binary_classification", positive="fraud", slices=["s"], features=["x", "c"]
)
def score(x, c, s):
    return {"label": "fraud", "score": x}

for number in range(600):
    score(0.5, "c", "s")
    inferspan.label(str(number), "fraud", model="fraud")

def settled(what):
    counts = delivery_counts().get(what, {})
    return counts.get("handed", 0) > 0 and not counts["waiting"]

# By the threads alone: a flush would pack the records in this one.
for what in ("predictions", "labels", "records"):
    wait_until(lambda: settled(what), 30, what)
# Two packs: what is slow or unsure is learnt by now.
for number in range(600):
    score(0.5, "c", "s")
wait_until(lambda: delivery_counts()["records"]["sent"] > 1, 30)
print(imported)
"""


def test_threads_of_ours_import_nothing() -> None:
    """A child that is forked while a thread imports waits for that import for ever (CPython)."""
    tests = Path(__file__).parents[1]
    with receiver() as server:
        done = run(
            f"import sys; sys.path.insert(0, {str(tests)!r})\nENDPOINT = {server.url!r}" + WATCHED,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
    assert done.stdout.strip() == "[]"


STORM = """
import os, signal, sys, threading, time

import inferspan

inferspan.configure(endpoint=ENDPOINT, sample_ratio=RATIO, keep=[])

@inferspan.predict(model="fraud", task="regression", prediction_id="order_id")
def score(order_id, x):
    return x

FORKS, CALLS, THREADS = 12, 100, 4
made = [0] * THREADS
stop = threading.Event()

def work(thread):
    while not stop.is_set():
        score(f"parent-{thread}-{made[thread]}", 1.0)
        made[thread] += 1
        if made[thread] % 10 == 0:
            stop.wait(0.002)
        if made[thread] == 2_000:  # what the queues hold, however long the forks take
            stop.wait(60)

def flush():
    while not stop.wait(0.01):
        inferspan.flush(1)

threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
threads.append(threading.Thread(target=flush))
for thread in threads:
    thread.start()

def call_in_child(thread):
    for number in range(CALLS):
        score(f"child-{os.getpid()}-{thread}-{number}", 1.0)

children = []
for _ in range(FORKS):
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that hangs
        threads = [threading.Thread(target=call_in_child, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0 if inferspan.flush(20) else 1)
    children.append(child)
ends = [os.waitpid(child, 0)[1] for child in children]
stop.set()
for thread in threads:
    thread.join()
assert inferspan.flush(20)
print(ends, sum(made) + FORKS * 2 * CALLS)
"""


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_children_forked_under_load_lose_and_repeat_nothing(ratio: float) -> None:
    with receiver() as server:
        done = run(f"ENDPOINT, RATIO = {server.url!r}, {ratio}" + STORM)
        found = {
            scope: [attributes_of(span) for _, span in server.spans(scope)]
            for scope in (semconv.SCOPE_PREDICTIONS, semconv.SCOPE_RECORDS)
        }
    ends, _, made = done.stdout.strip().rpartition(" ")
    assert ends == str([0] * 12)
    ids = [span[semconv.PREDICTION_ID] for span in found[semconv.SCOPE_PREDICTIONS]]
    assert len(set(ids)) == len(ids)
    recorded = sum(record[semconv.RECORD_COUNT] for record in found[semconv.SCOPE_RECORDS])
    assert len(ids) + recorded == int(made)
    assert (recorded > 0) == (ratio < 1.0)
