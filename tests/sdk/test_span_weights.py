"""What waits through an outage is bounded in bytes, and the latest of it is kept."""

from __future__ import annotations

import pytest

from inferspan.answers import Answer
from waiting import wait_until

from .queueing import Queues, Scripted, ended, names, put


@pytest.mark.parametrize("column", [[0.5] * 10_000, ["class"] * 5_000], ids=["numbers", "texts"])
def test_an_outage_keeps_what_fits_in_memory_the_latest_first(
    queue_of: Queues, column: list[object]
) -> None:
    exporter = Scripted(Answer.LATER)
    queue = queue_of(exporter, bytes_max=1_000_000)
    spans = ended(10, column=column)
    put(queue, spans)
    assert not queue.force_flush(60_000)
    wait_until(lambda: queue.pushed_out > 0, 60)
    assert queue.force_flush(60_000)
    assert exporter.names == names(spans[-queue.sent :])
    # Estimated from above, and not by far: a number takes 32 bytes, a short text twice that.
    assert queue.sent == 1_000_000 // (32 * 10_000 + 3_000) == 10 - queue.pushed_out


def test_a_span_that_holds_more_than_all_may_is_kept_alone(queue_of: Queues) -> None:
    exporter = Scripted(Answer.LATER)
    queue = queue_of(exporter, bytes_max=1_000)
    put(queue, ended(3))
    assert not queue.force_flush(60_000)
    wait_until(lambda: queue.pushed_out == 2, 60)
    assert queue.force_flush(60_000)
    assert exporter.names == ["span 2"]
