"""`configure()` called more than once: by several threads, and by each task of a service."""

from __future__ import annotations

from inferspan import semconv

from .receiving import receiver
from .test_configure import SCORE, run


def test_configuring_from_many_threads_makes_one_provider() -> None:
    with receiver() as server:
        done = run(
            SCORE
            + f"""
import sys, threading
sys.setswitchinterval(1e-6)
ready = threading.Barrier(8)

def work(number):
    ready.wait()
    inferspan.configure(endpoint={server.url!r})
    score(str(number))

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(inferspan.flush(30))
"""
        )
        sent = server.spans(semconv.SCOPE_PREDICTIONS)
    assert (done.stdout.split(), done.stderr) == (["True"], "")
    assert len(sent) == 8


def test_saying_the_same_again_waits_for_nobody_and_loses_nothing() -> None:
    """As each request or task of a service may do it, while the receiver is away."""
    with receiver(status=503) as away:
        done = run(
            SCORE
            + f"""
import os
from inferspan.delivery import delivery_counts
for number in range(3):
    inferspan.configure(endpoint={away.url!r})
    inferspan.label(str(number), 1, model="fraud")
counts = delivery_counts()["labels"]
print(counts["handed"], counts["failed"], flush=True)
os._exit(0)
"""
        )
    assert done.stdout.split() == ["3", "0"]
