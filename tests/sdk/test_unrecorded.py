"""What was lost before it reached a queue stands beside what became of the rest."""

from __future__ import annotations

from inferspan import semconv

from .receiving import receiver
from .test_configure import SCORE, run


def test_losses_before_a_queue_are_told() -> None:
    done = run(
        """
import inferspan
from inferspan import delivery

lost = [0]
delivery.count_losses("packed", lambda: lost[0])
assert delivery.delivery_counts() == {}
lost[0] = 3
print(delivery.delivery_counts())
lost[0] = 5
print(delivery.delivery_counts()["packed"]["unrecorded"])
"""
    )
    counts, later = done.stdout.splitlines()
    assert eval(counts) == {
        "packed": {
            "handed": 0,
            "sent": 0,
            "failed": 0,
            "pushed_out": 0,
            "waiting": 0,
            "unrecorded": 3,
        }
    }
    assert later == "5"


def test_what_a_queue_carries_stands_beside_its_losses() -> None:
    with receiver() as server:
        done = run(
            SCORE
            + f"""
from inferspan import delivery

delivery.count_losses("predictions", lambda: 2)
delivery.count_losses("predictions", lambda: 1 // 0)
inferspan.configure(endpoint={server.url!r})
score("a")
assert inferspan.flush(30)
counts = delivery.delivery_counts()["predictions"]
print(counts["sent"], counts["unrecorded"])
"""
        )
        assert len(server.spans(semconv.SCOPE_PREDICTIONS)) == 1
    assert done.stdout.split() == ["1", "2"]
    assert "count what was lost" in done.stderr  # a count that fails is kept from the caller
